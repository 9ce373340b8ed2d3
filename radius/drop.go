package radius

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A Drop says why a datagram was not served: a label of packets_dropped_total.
type Drop string

// Why datagrams are dropped, without an answer.
const (
	UnknownSource           Drop = "unknown_source"
	BadLength               Drop = "bad_length"
	BadCode                 Drop = "bad_code"
	AccountingHere          Drop = "accounting_on_login_port"
	LoginHere               Drop = "login_on_accounting_port"
	BadAttributes           Drop = "bad_attributes"
	BadAuthenticator        Drop = "bad_message_authenticator"
	BadRequestAuthenticator Drop = "bad_request_authenticator" // of an Accounting-Request
	NoAuthenticator         Drop = "no_message_authenticator"  // where there must be one: EAP, Status-Server
	BareProxyState          Drop = "proxy_state_without_message_authenticator"
	RequiredAuthenticator   Drop = "required_message_authenticator" // the client says yes
	LostAuthenticator       Drop = "lost_message_authenticator"     // the NAS is known to sign
	PreviousExpired         Drop = "previous_secret_expired"
	RepeatedAttribute       Drop = "repeated_attribute"
	TwoPasswords            Drop = "two_passwords"
	WrongSecret             Drop = "wrong_secret"
	NotReady                Drop = "not_ready"
	Retransmission          Drop = "retransmission" // of a request that is still held, or whose answer is silence
	Superseded              Drop = "superseded"     // a held request whose Identifier was used again
	Probe                   Drop = "probed"         // CHAP or MS-CHAP beside an open login by PAP
	TooManyHeld             Drop = "too_many_held"
	Broken                  Drop = "internal_error"
	NotSent                 Drop = "not_sent"
	Shed                    Drop = "shed"                // more logins than can be decided at once
	Unavailable             Drop = "unavailable"         // no verdict: the NAS is to ask elsewhere
	NotKept                 Drop = "accounting_not_kept" // so not answered: the NAS is to send it again

	// Of connections over TLS. They are closed for BadLength, BadAttributes and
	// BadAuthenticator too.
	NoTLSClient        Drop = "no_tls_client" // by its address
	NoHandshake        Drop = "handshake_timeout"
	BadHandshake       Drop = "handshake"
	UnknownCertificate Drop = "unknown_certificate"
	TooManyConnections Drop = "too_many_connections"
	Idle               Drop = "idle"
)

// notTaken is what a server of radius.accounting.forward is told of for.
const notTaken = "not_taken"

// Why requests are rejected without asking the Handler; log only.
const (
	rejectedName      = "bad_user_name"
	rejectedPassword  = "bad_password_attribute"
	rejectedNone      = "no_password"
	rejectedCHAP      = "chap"
	rejectedChallenge = "no_chap_challenge"
	rejectedMSCHAP    = "ms_chap"
	rejectedEAP       = "eap"
	rejectedBadEAP    = "bad_eap"
	rejectedState     = "empty_state"
	rejectedACL       = "acl_download"
	rejectedMAC       = "mac_authentication"
	rejectedForeign   = "bad_state"

	crowded = "identifiers_near_256" // nothing is rejected for it
)

// wayOut tells the administrator what to do. Reasons that need nothing done
// have no line, hence no log record.
var wayOut = map[string]string{
	string(UnknownSource):           "no client has this address: add it to radius.clients, or stop whoever sends",
	string(BadLength):               "the datagram is no RADIUS packet; check what sends to this port",
	string(BadCode):                 "only requests for logins, accounting and Status-Server are served; send CoA elsewhere",
	string(AccountingHere):          "accounting is not taken on this port: give radius.accounting.listen an address (the usual port is 1813) and name it at the NAS, or switch accounting off there",
	string(LoginHere):               "logins are not taken on the accounting port: name a port of radius.listen (the usual one is 1812) as the NAS's authentication port",
	string(BadRequestAuthenticator): "bad Request Authenticator: the shared secret of this client differs for accounting, or the packet was forged; some NASes have a secret of their own for accounting",
	notTaken:                        "radius.accounting.forward: another server may have it; if none has, the NAS gets no answer and sends it again",
	string(NotKept):                 "accounting is not answered while it cannot be kept; the error before this line says why. The NAS sends it again",
	string(BadAttributes):           "the packet's attributes are malformed, or more than 200",
	string(BadAuthenticator):        "bad Message-Authenticator: the shared secret of this client differs, or the packet was forged",
	string(NoAuthenticator):         "EAP and Status-Server need a Message-Authenticator (RFC 3579, RFC 5997): switch it on at the NAS",
	string(BareProxyState):          "Proxy-State without Message-Authenticator may be a forgery in the making (CVE-2024-3596): switch Message-Authenticator on at the NAS and at each proxy",
	string(RequiredAuthenticator):   "require_message_authenticator is yes for this client, and the request has none: switch it on at the NAS; auto serves it until the NAS is known to sign",
	string(LostAuthenticator):       "this NAS used to send Message-Authenticator and this request has none: forged, or the NAS was changed: then vssgate nas forget NAME; require_message_authenticator: no for a NAS that sends both",
	string(PreviousExpired):         "made with previous_secret, whose previous_until has passed: give the NAS the new secret, or move previous_until",
	string(RepeatedAttribute):       "an attribute that may come once came twice (RFC 2865 section 5.44)",
	string(TwoPasswords):            "User-Password came together with CHAP-Password or EAP-Message (RFC 2865 section 4.1)",
	string(WrongSecret):             "the password is not readable: wrong shared secret? compare it at the NAS and here; nobody was asked about this login",
	string(Probe):                   "the NAS tries CHAP or MS-CHAP while its login by PAP is still open: set it to PAP alone, and let it wait longer for an answer",
	string(TooManyHeld):             "more logins are held than radius.max_held allows; raise it, or look for who floods",
	string(Broken):                  "a fault of this program; the request was dropped, please report it",
	string(Shed):                    "more logins come than can be decided at once: is the directory or the store slow, or does somebody flood this client?",
	string(Unavailable):             "no verdict, so no answer: directory, store or audit cannot be asked; the error before this line and /readyz say which",
	crowded:                         "of its 256 Identifiers for one port a NAS has few left: the next logins take one from a login that waits; ways out: more source ports at the NAS, RADIUS/1.1 over TLS (radius.tls), or a shorter hold for this client",
	string(NotSent):                 "an answer could not be sent; check the route to the NAS",

	string(NoTLSClient):        "no client with certificate_names may come from this address: add the address to the client in radius.clients, or stop whoever connects",
	string(NoHandshake):        "no TLS handshake within 10 s: does the NAS speak RADIUS over TLS on this port?",
	string(BadHandshake):       "TLS failed: the NAS must show a certificate that an authority of radius.tls.ca_file has issued, speak TLS 1.2 or later, and trust the issuer of radius.tls.cert_file",
	string(UnknownCertificate): "the certificate is good, but no client that may come from this address has one of its names: write one of them into certificate_names of radius.clients",
	string(TooManyConnections): "as many connections are open as may be; look for a NAS that opens new ones and does not close the old",

	rejectedName:      "User-Name is missing, empty or has a NUL in it",
	rejectedPassword:  "User-Password is malformed (RFC 2865 section 5.2) or has a NUL in it",
	rejectedNone:      "the request has neither a password nor a State: the user left it empty, or the NAS is to be set to PAP",
	rejectedCHAP:      "CHAP cannot be checked against a directory; set the NAS to PAP",
	rejectedChallenge: "CHAP-Password came without CHAP-Challenge, which RADIUS/1.1 needs (RFC 9765 section 5.1.2)",
	rejectedMSCHAP:    "MS-CHAP cannot be checked against a directory; set the NAS to PAP",
	rejectedEAP: "of EAP only GTC shows a password that a directory can check: set the user's device (IKEv2: the gateway) to EAP-GTC, " +
		"the NAS to PAP, or have this client's logins checked by an upstream RADIUS server (first_factors: radius)",
	rejectedBadEAP: "EAP-Message is no EAP response, or none to what was asked last (RFC 3748 section 4.1)",
	rejectedState:  "State came empty; the NAS must send back what it was given",
	rejectedACL: "a Cisco device asks for an access list by #ACSACL#, which is no login: " +
		"give the list's lines in reply, as Cisco-AVPair ip:inacl#1=..., or its name as Filter-Id",
	rejectedMAC: "MAC authentication is no login: nobody at that device could confirm it; " +
		"have the NAS send it to another server, or switch it off",
	rejectedForeign: "the State is unknown, used up or another user's: an old challenge was answered, the store has forgotten the login (Redis was restarted, failed over or emptied), or somebody guesses; the user logs in again",
}

// A Meter counts. Its methods never block.
type Meter interface {
	// Dropped counts one datagram that was not served.
	Dropped(reason Drop)
	// RequestRefused counts one request that was rejected without being a login.
	RequestRefused(why string)
	// Resent counts one answer that was sent again to a retransmission.
	Resent()
	// IdentifiersInUse changes by delta how many requests of the client are held.
	IdentifiersInUse(client string, delta int)
	// TLSConnections tells that connections over TLS came or went.
	TLSConnections(delta int)
	// TLSClosed counts a connection over TLS that we have closed, or not taken.
	TLSClosed(reason Drop)
	// Unsigned counts one request that is served without Message-Authenticator.
	Unsigned(client string)
	// PreviousSecret counts one packet that was made with the client's previous
	// secret.
	PreviousSecret(client string)
}

type noMeter struct{}

func (noMeter) Dropped(Drop)                 {}
func (noMeter) RequestRefused(string)        {}
func (noMeter) Resent()                      {}
func (noMeter) IdentifiersInUse(string, int) {}
func (noMeter) TLSConnections(int)           {}
func (noMeter) TLSClosed(Drop)               {}
func (noMeter) Unsigned(string)              {}
func (noMeter) PreviousSecret(string)        {}

// A teller logs what was dropped or refused: for each client and reason at once,
// again after a second, and as long as it goes on after ten and then once a
// minute, with the number of those it kept back.
type teller struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[topic]*telling
}

// A topic is what is told of together. Unknown sources share
// the client "", so that forged addresses fill neither log nor memory.
type topic struct{ client, reason string }

type telling struct {
	last  time.Time
	kept  int           // since then
	pause time.Duration // until the next
}

const (
	tellEvery = time.Second
	tellSlow  = time.Minute
)

// tellSeldom is for what lasts.
var tellSeldom = map[string]time.Duration{crowded: time.Minute}

func newTeller(log *slog.Logger) *teller {
	return &teller{log: log, told: map[topic]*telling{}}
}

// tell writes message with the way out and what attrs returns, unless the topic
// was told of a moment ago: then attrs is not even called, for this
// may be a flood. A nil attrs adds nothing.
func (t *teller) tell(now time.Time, client, reason, message string, attrs func() []slog.Attr) {
	hint := wayOut[reason]
	if hint == "" {
		return
	}
	kept, due := t.due(topic{client, reason}, now)
	if !due {
		return
	}
	all := []slog.Attr{slog.String("client", client), slog.String("reason", reason)}
	if attrs != nil {
		all = append(all, attrs()...)
	}
	all = append(all, slog.String("hint", hint))
	if kept > 0 {
		all = append(all, slog.Int("kept_back", kept))
	}
	t.log.LogAttrs(context.Background(), slog.LevelWarn, message, all...)
}

func (t *teller) due(about topic, now time.Time) (kept int, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.told[about]
	if last == nil {
		t.told[about] = &telling{last: now, pause: max(tellEvery, tellSeldom[about.reason])}
		return 0, true
	}
	if now.Sub(last.last) < last.pause {
		last.kept++
		return 0, false
	}
	if kept = last.kept; kept > 0 {
		last.pause = min(10*last.pause, tellSlow)
	} else {
		last.pause = max(tellEvery, tellSeldom[about.reason])
	}
	last.kept, last.last = 0, now
	return kept, true
}
