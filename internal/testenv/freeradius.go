package testenv

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"
)

// FreeRADIUSSecret is shared with every FreeRADIUS.
const FreeRADIUSSecret = "secret-of-the-upstream"

// FreeRADIUSOptions say what is different from a server that judges by a list
// of users.
type FreeRADIUSOptions struct {
	Users  int    // as Slapd has them; 0: ten
	Reply  string // attributes of every Access-Accept, in the form of a users file
	Silent bool   // does not answer Status-Server, as NPS does not

	// Second is what user 1 must answer to a second question, by PAP; "": none is asked.
	Second string

	// Unsigned leaves Message-Authenticator out of answers to PAP, CHAP and
	// MS-CHAP, as FreeRADIUS before 3.2.5 does when nobody tells it otherwise.
	Unsigned bool

	// Proxy, HOST:PORT, makes it a proxy: tunnels of EAP end here, and what is in
	// them goes there, as does everything else. ProxySecret is shared with it.
	Proxy, ProxySecret string

	// TLS makes it take RADIUS over TLS too, at AddrTLS, and its proxy ask over
	// TLS, with a certificate of that authority for freeradius.example.vn.
	TLS *Authority
}

// FreeRADIUS is a running freeradius, on 127.0.0.1. It knows PAP, CHAP,
// MS-CHAP, EAP-MD5, EAP-GTC, EAP-MSCHAPv2, EAP-TTLS and PEAP; the outer name of
// a tunnel may be anything, and its Access-Accept tells the inner one.
type FreeRADIUS struct {
	Addr    string // 127.0.0.1:PORT
	AddrTLS string // 127.0.0.1:PORT, with TLS
	CAFile  string // signed its certificate

	child
	dir  string
	opts FreeRADIUSOptions
}

// StartFreeRADIUS starts a server and stops it when the test ends.
func StartFreeRADIUS(t testing.TB, o FreeRADIUSOptions) *FreeRADIUS {
	t.Helper()
	if _, err := exec.LookPath("freeradius"); err != nil {
		t.Fatal("freeradius is missing: test/packages.sh installs it")
	}
	f := &FreeRADIUS{child: child{t: t}, dir: t.TempDir(), opts: o}
	ca := CA(t)
	f.CAFile = ca.CAFile
	f.write("users", f.users())
	var err error
	for range 5 { // somebody else may take the port meanwhile
		f.Addr, f.AddrTLS = FreeAddr(t), FreeAddr(t)
		f.configure(ca)
		if err = f.start(); err == nil {
			t.Cleanup(f.Stop)
			return f
		}
	}
	t.Fatal(err)
	return nil
}

// Start starts a stopped server again at the same address.
func (f *FreeRADIUS) Start() {
	f.t.Helper()
	must(f.t, f.start())
}

// Log is what the server has written so far, with each packet.
func (f *FreeRADIUS) Log() string { return f.log.String() }

func (f *FreeRADIUS) start() error {
	seen := len(f.log.String())
	if err := f.run(exec.Command("freeradius", "-d", f.dir, "-f", "-xx", "-l", "stdout")); err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for !strings.Contains(f.log.String()[seen:], "Ready to process requests") {
		select {
		case <-f.ended:
			f.process = nil
			return fmt.Errorf("freeradius ended:\n%s", f.log.String()[seen:])
		case <-tick.C:
		}
		if time.Now().After(deadline) {
			f.Stop()
			return fmt.Errorf("freeradius is not ready after %v:\n%s", patience, f.log.String()[seen:])
		}
	}
	return nil
}

func (f *FreeRADIUS) users() string {
	n := f.opts.Users
	if n == 0 {
		n = 10
	}
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "%s Cleartext-Password := %q\n", UserName(i), UserPassword(i))
		if f.opts.Reply != "" {
			fmt.Fprintf(&b, "\t%s\n", f.opts.Reply)
		}
	}
	return b.String()
}

func (f *FreeRADIUS) write(name, content string) {
	f.t.Helper()
	must(f.t, os.WriteFile(filepath.Join(f.dir, name), []byte(content), 0o600))
}

func (f *FreeRADIUS) configure(ca *Authority) {
	f.t.Helper()
	_, port, err := net.SplitHostPort(f.Addr)
	must(f.t, err)
	proxyHost, proxyPort, _ := net.SplitHostPort(f.opts.Proxy)
	var b bytes.Buffer
	must(f.t, freeradiusConf.Execute(&b, map[string]any{
		"Dir": f.dir, "Port": port, "Secret": FreeRADIUSSecret, "Cert": ca.CertFile, "Key": ca.KeyFile, "CA": ca.CAFile,
		"Silent": f.opts.Silent, "Second": f.opts.Second, "SecondUser": UserName(1), "Signed": !f.opts.Unsigned,
		"Proxy": f.opts.Proxy != "", "ProxyHost": proxyHost, "ProxyPort": proxyPort, "ProxySecret": f.opts.ProxySecret,
		"TLS": f.tls(),
	}))
	f.write("radiusd.conf", b.String())
}

// tls is what stands in the sections for RADIUS over TLS; nil: there are none.
func (f *FreeRADIUS) tls() map[string]string {
	if f.opts.TLS == nil {
		return nil
	}
	certFile, keyFile := f.opts.TLS.IssueAs("freeradius.example.vn", func(form *x509.Certificate) {
		form.DNSNames = []string{"freeradius.example.vn"}
	})
	_, port, err := net.SplitHostPort(f.AddrTLS)
	must(f.t, err)
	return map[string]string{"Port": port, "Cert": certFile, "Key": keyFile, "CA": f.opts.TLS.CAFile}
}

var freeradiusConf = template.Must(template.New("radiusd.conf").Parse(`
prefix = /usr
libdir = /usr/lib/freeradius
name = freeradius
raddbdir = {{.Dir}}
logdir = {{.Dir}}
run_dir = {{.Dir}}
max_request_time = 60
cleanup_delay = 5
log {
	destination = stdout
}
security {
	reject_delay = 0
	status_server = {{if .Silent}}no{{else}}yes{{end}}
}
thread pool {
	start_servers = 2
	max_servers = 4
	min_spare_servers = 1
	max_spare_servers = 4
}
client test {
	ipaddr = 127.0.0.0/8
	secret = {{.Secret}}
	require_message_authenticator = {{if .Proxy}}no{{else}}yes{{end}}
}
{{with .TLS}}
clients radsec {
	client asker {
		ipaddr = 127.0.0.1
		proto = tls
		secret = radsec
	}
}
{{end}}
{{if .Proxy}}
proxy server {
	default_fallback = no
}
home_server next {
	type = auth
	ipaddr = {{.ProxyHost}}
	port = {{.ProxyPort}}
{{- with .TLS}}
	proto = tcp
	secret = radsec
	tls {
		ca_file = {{.CA}}
		certificate_file = {{.Cert}}
		private_key_file = {{.Key}}
	}
{{- else}}
	secret = {{.ProxySecret}}
{{- end}}
	response_window = 60
	status_check = status-server
	check_interval = 6
}
home_server_pool next {
	type = fail-over
	home_server = next
}
realm next {
	auth_pool = next
	nostrip
}
{{end}}
modules {
	always handled {
		rcode = handled
	}
	pap {
	}
	chap {
	}
	mschap {
	}
	files {
		usersfile = {{.Dir}}/users
	}
	eap {
		default_eap_type = md5
		timer_expire = 120
		max_sessions = 1000
		md5 {
		}
		gtc {
			auth_type = PAP
		}
		mschapv2 {
		}
		tls-config tunnel {
			private_key_file = {{.Key}}
			certificate_file = {{.Cert}}
			ca_file = {{.CA}}
			tls_min_version = "1.2"
			tls_max_version = "1.2"
		}
		ttls {
			tls = tunnel
			default_eap_type = md5
			virtual_server = inner
		}
		peap {
			tls = tunnel
			default_eap_type = mschapv2
			virtual_server = inner
		}
	}
}
server default {
	listen {
		type = auth
		ipaddr = 127.0.0.1
		port = {{.Port}}
	}
{{- with .TLS}}
	listen {
		type = auth
		ipaddr = 127.0.0.1
		port = {{.Port}}
		proto = tcp
		clients = radsec
		tls {
			ca_file = {{.CA}}
			certificate_file = {{.Cert}}
			private_key_file = {{.Key}}
			require_client_cert = yes
		}
	}
{{- end}}
	authorize {
		eap {
			ok = return
		}
{{- if .Proxy}}
		if (!&EAP-Message) {
			update control {
				&Proxy-To-Realm := next
			}
		}
{{- else}}
		chap
		mschap
{{- if .Second}}
		if (&User-Password && &User-Name == "{{.SecondUser}}" && !&State) {
			files
			update control {
				&Auth-Type := First
			}
		}
		elsif (&User-Password && &User-Name == "{{.SecondUser}}") {
			files
			update control {
				&Cleartext-Password := "{{.Second}}"
			}
		}
		else {
			files
		}
{{- else}}
		files
{{- end}}
		pap
{{- end}}
	}
	authenticate {
		Auth-Type First {
			pap
			update session-state {
				&Tmp-Integer-0 := 1
			}
			update reply {
				&Reply-Message := "Second question of the upstream?"
			}
			update control {
				&Response-Packet-Type := Access-Challenge
			}
			handled
		}
		Auth-Type PAP {
			pap
		}
		Auth-Type CHAP {
			chap
		}
		Auth-Type MS-CHAP {
			mschap
		}
		eap
	}
	post-proxy {
		eap
	}
	post-auth {
		if (&session-state:User-Name) {
			update reply {
				&User-Name !* ANY
			}
		}
		update {
			&reply: += &session-state:
		}
		Post-Auth-Type REJECT {
			eap
			update reply {
{{- if not .Proxy}}
				&Reply-Message := "refused by the upstream"
{{- end}}
{{- if .Signed}}
				&Message-Authenticator := 0x00
{{- end}}
			}
		}
{{- if .Signed}}
		update reply {
			&Message-Authenticator := 0x00
		}
		Post-Auth-Type Challenge {
			update reply {
				&Message-Authenticator := 0x00
			}
		}
{{- end}}
	}
}
server inner {
	authorize {
{{- if .Proxy}}
		update control {
			&Proxy-To-Realm := next
		}
{{- else}}
		chap
		mschap
		eap {
			ok = return
		}
		files
		pap
{{- end}}
	}
	authenticate {
		Auth-Type PAP {
			pap
		}
		Auth-Type CHAP {
			chap
		}
		Auth-Type MS-CHAP {
			mschap
		}
		eap
	}
	post-proxy {
		eap
	}
	post-auth {
		update outer.session-state {
			&User-Name := &User-Name
		}
		update {
			&outer.session-state: += &reply:
		}
		update outer.session-state {
			&EAP-Message !* ANY
			&Message-Authenticator !* ANY
			&MS-CHAP2-Success !* ANY
			&MS-MPPE-Recv-Key !* ANY
			&MS-MPPE-Send-Key !* ANY
			&MS-MPPE-Encryption-Policy !* ANY
			&MS-MPPE-Encryption-Types !* ANY
			&MS-CHAP-MPPE-Keys !* ANY
			&Proxy-State !* ANY
		}
	}
}
`))
