package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"syscall"

	"vssgate/internal/directory"
	"vssgate/internal/store"
)

// What a directory answers (RFC 4511 appendix A).
const (
	strongerAuthRequired    = 8
	confidentialityRequired = 13
	noSuchObject            = 32
	invalidDNSyntax         = 34
	inappropriateAuth       = 48
	invalidCredentials      = 49
	insufficientAccess      = 50
	unwillingToPerform      = 53
)

// An advice says what an error of an examination means: the key of the
// configuration to look at, and the way out.
type advice func(err error) (key, do string)

// always is the same advice whatever is wrong.
func always(key, do string) advice { return func(error) (string, string) { return key, do } }

// reaching is advice about an address that cannot be reached or trusted; do is
// "" when the error is about something else. addr and ca are keys.
func reaching(err error, addr, ca string) (key, do string) {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	var lookup *net.DNSError
	switch {
	case errors.As(err, &unknown):
		return ca, "its certificate was issued by nobody whom ca_file (left out: the system) holds: put the certificate of its issuer there; see what it shows: openssl s_client -connect HOST:PORT -showcerts"
	case errors.As(err, &name):
		return addr, "its certificate is for other names than the one written here: write one of those, or give it a certificate with this name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return addr, "its certificate is not valid now: renew it there; if it looks right, this machine's clock is wrong (see: date)"
	case errors.As(err, &invalid):
		return ca, "its certificate cannot be what it is used for: " + invalid.Error()
	case errors.As(err, &plain), errors.Is(err, io.EOF) && strings.Contains(err.Error(), "TLS with"):
		return addr, "it speaks no TLS on this port: is it the right one (ldaps is 636; on 389 it is ldap:// with start_tls: true)?"
	case errors.As(err, &lookup):
		return addr, "this name is not known to this machine's resolver: check the spelling, and /etc/resolv.conf"
	case errors.Is(err, syscall.ECONNREFUSED):
		return addr, "nothing listens there: does it run, and is the port right?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return addr, "there is no way there: check the address and this machine's routes"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT), isTimeout(err):
		return addr, "no answer in time: a firewall between here and there, or it hangs; is the address right?"
	}
	return "", ""
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// directoryAdvice is about a first factor behind LDAP: url is the key of the
// server, under of everything about the directory.
func directoryAdvice(url, under, at string) advice {
	return func(err error) (key, do string) {
		if key, do = reaching(err, url, under+".ca_file"); do != "" {
			return key, do
		}
		try := fmt.Sprintf("; try: ldapwhoami -x -H %s -D BIND_DN -W", at)
		switch directory.ResultOf(err) {
		case invalidCredentials, inappropriateAuth:
			return under + ".bind_dn", "the directory does not know bind_dn, or its password is another than bind_password's (it may have expired, or the account be locked)" + try
		case noSuchObject:
			return under + ".base_dns", fmt.Sprintf("there is no such entry, or bind_dn may not see it; what there is: ldapsearch -x -H %s -D BIND_DN -W -s base -b '' namingContexts", at)
		case insufficientAccess:
			return under + ".bind_dn", "bind_dn may not read there: give it the right to search below base_dns"
		case confidentialityRequired, strongerAuthRequired:
			return url, "the directory wants TLS: write ldaps://, or ldap:// with start_tls: true"
		case invalidDNSyntax:
			return under + ".base_dns", "the directory cannot read that DN: check its spelling"
		case unwillingToPerform:
			return under + ".bind_dn", "the directory refuses to serve bind_dn; its own log says why" + try
		}
		return under, "check the address, ca_file, bind_dn with its password, and base_dns" + try
	}
}

// redisAdvice goes by what Redis says, which begins with a word.
func redisAdvice(err error) (key, do string) {
	if key, do = reaching(err, "store.redis.addresses", "store.redis.tls.ca_file"); do != "" {
		return key, do
	}
	says := err.Error()
	switch {
	case strings.Contains(says, "Sentinel ") && (strings.Contains(says, "WRONGPASS") || strings.Contains(says, "NOAUTH")):
		return "store.redis.password_file", store.SentinelPassword
	case strings.Contains(says, "WRONGPASS"):
		return "store.redis.password_file", "Redis does not know this user with this password: check username and password_file (ACL LIST at Redis)"
	case strings.Contains(says, "NOAUTH"):
		return "store.redis.password_file", "Redis wants a password: give password_file, and username where it has users (ACL LIST at Redis)"
	case strings.Contains(says, "NOPERM"):
		return "store.redis.username", "this user of Redis may not do that: give it the command, key or channel that the answer names (ACL SETUSER at Redis)"
	case strings.Contains(says, "CLUSTERDOWN"), strings.Contains(says, "MOVED"):
		return "store.redis.cluster", "this is a Redis Cluster, or one without all its parts: set cluster: true; redis-cli cluster info"
	case strings.Contains(says, "BUSY"):
		return "store.redis.addresses", "Redis is busy; wait, and look again"
	}
	if do := store.Refusal(err); do != "" {
		return "store.redis", do
	}
	return "store.redis", "check addresses, the firewall, username, password_file and tls; try: redis-cli -h HOST -p PORT ping"
}

// fcmAdvice goes by what Google says of the key and of the dry run.
func fcmAdvice(err error) (key, do string) {
	says := err.Error()
	switch {
	case strings.Contains(says, "invalid_grant"), strings.Contains(says, "invalid_client"), strings.Contains(says, "Invalid JWT"):
		return "push.fcm.credentials_file", "Google refuses this key: it was deleted, or its service account is disabled; make a new one (Google Cloud console, IAM, Service accounts, Keys). With a right key: this machine's clock is wrong (see: date -u)"
	case strings.Contains(says, "PERMISSION_DENIED"), strings.Contains(says, "denied"), answered(says, "403"):
		return "push.fcm.project_id", "this service account may not send in this project: give it the role with cloudmessaging.messages.create there (Firebase Cloud Messaging API Admin), and enable the Firebase Cloud Messaging API"
	case strings.Contains(says, "NOT_FOUND"), strings.Contains(says, "not found"), answered(says, "404"):
		return "push.fcm.project_id", "there is no such project, or endpoint is wrong: it ends in /v1"
	}
	for _, unreachable := range []string{"dial tcp", "lookup ", "deadline exceeded", "certificate"} { // the library hides what it wraps
		if strings.Contains(says, unreachable) {
			return "push.fcm.endpoint", "Google cannot be reached from here: open the firewall to oauth2.googleapis.com and fcm.googleapis.com, port 443, or name the way out in push.fcm.proxy"
		}
	}
	return "push.fcm", "check credentials_file, project_id, endpoint and proxy"
}

// answered tells whether an HTTP status is in a text: not among the digits of a port.
func answered(says, status string) bool {
	return regexp.MustCompile(`\b` + status + `\b`).MatchString(says)
}

func webhookAdvice(err error) (key, do string) {
	if key, do = reaching(err, "push.webhook.url", "push.webhook.ca_file"); do != "" {
		return key, do
	}
	if says := err.Error(); answered(says, "401") || answered(says, "403") {
		return "push.webhook.token_file", "the service does not take this token: token_file must hold the one that VssID's push service gave out"
	}
	return "push.webhook.url", "url, token_file and ca_file must be those of VssID's push service, and it must answer {\"type\": \"check\"} with 2xx (docs/push.md)"
}
