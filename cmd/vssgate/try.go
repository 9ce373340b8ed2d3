package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vssgate/internal/app"
	"vssgate/internal/directory"
	"vssgate/internal/secret"
	"vssgate/radius"
)

// tried is what one exchange was, for people and for --json.
type tried struct {
	Accepted bool      `json:"accepted"`
	Answer   string    `json:"answer"`
	Text     string    `json:"text"`
	TookMS   int64     `json:"took_ms"`
	Steps    []tryStep `json:"steps"`
}

type tryStep struct {
	Time time.Time `json:"time"`
	What string    `json:"what"`
}

// tryFlags are what a NAS or an application would be configured with.
type tryFlags struct {
	server, secret, user, password, code, station, nas string
	asJSON, startTLS                                   bool
	caFile, base, filter, separator                    string
	overTLS                                            bool
	certFile, keyFile, serverName                      string
	timeout                                            time.Duration
}

func tryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "try",
		Short: "log in as a NAS or an application would, and show the exchange",
		Long: `Logs in as a NAS (try radius) or an application (try ldap) would, prints each
step with its time, and asks for the code when the server does. Exit code 0 only
when the login was accepted.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(tryRADIUSCommand(), tryLDAPCommand())
	return cmd
}

func (f *tryFlags) common(cmd *cobra.Command, server string) {
	flags := cmd.Flags()
	flags.StringVar(&f.server, "server", server, "the server to log in at")
	flags.StringVar(&f.user, "user", "", "user name")
	flags.StringVar(&f.password, "password", "", "password (asked for when left out)")
	flags.DurationVar(&f.timeout, "timeout", 150*time.Second, "how long to wait for an answer")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON object at the end instead")
	cmd.MarkFlagRequired("user")
}

func tryRADIUSCommand() *cobra.Command {
	f := &tryFlags{}
	cmd := &cobra.Command{
		Use:   "radius",
		Short: "log in over RADIUS (PAP)",
		Long: `Logs in as a NAS would and shows each packet with its time; passwords and codes
are not shown. Lost packets are sent again. The server must know this machine's
address as a client (radius.clients), with the same shared secret; or, with
--tls, a name in the certificate (certificate_names).`,
		Example: `  vssgate try radius --server 127.0.0.1:1812 --secret SHARED_SECRET --user an.nv
  vssgate try radius --secret SHARED_SECRET --user an.nv --password PASSWORD --code 123456 --json
  vssgate try radius --server 192.0.2.1:2083 --tls --ca ca.pem --cert nas.pem --key nas.key --user an.nv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.radius(cmd) },
	}
	f.common(cmd, "127.0.0.1:1812")
	cmd.Flags().StringVar(&f.code, "code", "", "answer to the first challenge: the code that VssID shows, or ok (asked for when left out)")
	cmd.Flags().StringVar(&f.secret, "secret", "", "shared secret of this client")
	cmd.Flags().StringVar(&f.station, "station", "", "Calling-Station-Id: where the user sits")
	cmd.Flags().StringVar(&f.nas, "nas", "vssgate-try", "NAS-Identifier")
	cmd.Flags().BoolVar(&f.overTLS, "tls", false, "RADIUS over TLS, in RADIUS/1.1 if the server speaks it; no --secret")
	cmd.Flags().StringVar(&f.caFile, "ca", "", "with --tls: certificate authority `FILE` of the server")
	cmd.Flags().StringVar(&f.certFile, "cert", "", "with --tls: `FILE` of the certificate to show")
	cmd.Flags().StringVar(&f.keyFile, "key", "", "with --tls: `FILE` of its key")
	cmd.Flags().StringVar(&f.serverName, "server-name", "", "with --tls: name in the server's certificate (default the host of --server)")
	cmd.PreRun = func(cmd *cobra.Command, _ []string) {
		if !f.overTLS {
			cmd.MarkFlagRequired("secret")
		} else if f.certFile+f.keyFile != "" {
			cmd.MarkFlagRequired("cert")
			cmd.MarkFlagRequired("key")
		}
	}
	return cmd
}

func tryLDAPCommand() *cobra.Command {
	f := &tryFlags{}
	cmd := &cobra.Command{
		Use:   "ldap",
		Short: "log in over LDAP (simple bind), and search with --base",
		Long: `Logs in as an application would, and waits while the user confirms. The name may
be a DN, user@domain, DOMAIN\user or a plain name. The server must know this
machine's address as a client (ldap.clients).`,
		Example: `  vssgate try ldap --server ldap://127.0.0.1:3389 --user uid=an.nv,ou=people,dc=demo,dc=vn --base dc=demo,dc=vn
  vssgate try ldap --server ldaps://otp.example.vn --ca ca.pem --user an.nv --code 123456`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.ldap(cmd) },
	}
	f.common(cmd, "ldap://127.0.0.1:3389")
	flags := cmd.Flags()
	flags.StringVar(&f.code, "code", "", "the code that VssID shows, appended to the password")
	flags.BoolVar(&f.startTLS, "start-tls", false, "StartTLS before the bind")
	flags.StringVar(&f.caFile, "ca", "", "certificate authority `FILE`, for ldaps and StartTLS")
	flags.StringVar(&f.base, "base", "", "search below this DN after the bind")
	flags.StringVar(&f.filter, "filter", "(objectClass=*)", "what to search for")
	flags.StringVar(&f.separator, "separator", ",", "between password and --code")
	flags.StringVar(&f.secret, "secret", "", "")
	flags.StringVar(&f.station, "station", "", "")
	flags.MarkHidden("secret") // RADIUS only; taken, so that one set of flags serves both
	flags.MarkHidden("station")
	return cmd
}

// A talk is the exchange as it goes.
type talk struct {
	tried
	out   io.Writer // nil: --json, nothing on the way
	from  io.Reader
	in    *bufio.Reader // of from
	begun time.Time
}

func (f *tryFlags) talk(cmd *cobra.Command) *talk {
	t := &talk{from: cmd.InOrStdin(), in: bufio.NewReader(cmd.InOrStdin()), begun: time.Now()}
	t.Steps = []tryStep{}
	if !f.asJSON {
		t.out = cmd.OutOrStdout()
	}
	return t
}

func (t *talk) say(at time.Time, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	t.Steps = append(t.Steps, tryStep{at, what})
	if t.out != nil {
		fmt.Fprintf(t.out, "%8.3fs  %s\n", at.Sub(t.begun).Seconds(), what)
	}
}

// ask reads a line from the person, unless the flag said it.
func (t *talk) ask(ctx context.Context, said *string, question string) error {
	if *said != "" {
		return nil
	}
	if t.out != nil {
		fmt.Fprintf(t.out, "%s: ", question)
	}
	line, err := t.line(ctx)
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case err != nil && line == "":
		return fmt.Errorf("%s: nothing to read; give it as a flag", strings.ToLower(question))
	}
	*said = strings.TrimRight(line, "\r\n")
	return nil
}

// askPassword is ask for what a terminal must not show.
func (t *talk) askPassword(ctx context.Context, said *string) error {
	if *said == "" {
		defer hidden(t.from)()
	}
	return t.ask(ctx, said, "Password")
}

// line reads a line until ctx ends; then the read is left to the end of the
// program.
func (t *talk) line(ctx context.Context) (string, error) {
	var line string
	read := make(chan error, 1)
	go func() {
		var err error
		line, err = t.in.ReadString('\n')
		read <- err
	}()
	select {
	case err := <-read:
		return line, err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// end prints the outcome; only an accept is no error.
func (t *talk) end(cmd *cobra.Command) error {
	t.TookMS = time.Since(t.begun).Milliseconds()
	if t.out == nil {
		if err := json.NewEncoder(cmd.OutOrStdout()).Encode(t.tried); err != nil {
			return err
		}
	} else {
		verdict := "NOT ACCEPTED"
		if t.Accepted {
			verdict = "ACCEPTED"
		}
		fmt.Fprintf(t.out, "%s after %.3f s (%s)\n", verdict, float64(t.TookMS)/1000, t.Answer)
	}
	if t.Accepted {
		return nil
	}
	return errQuiet
}

func (f *tryFlags) radius(cmd *cobra.Command) error {
	t := f.talk(cmd)
	if err := t.askPassword(cmd.Context(), &f.password); err != nil {
		return err
	}
	asker, err := f.dial(cmd.Context())
	if err != nil {
		return err
	}
	defer asker.Close()
	asker.Resend, asker.Tries = 5*time.Second, 40
	asker.Trace = func(p radius.Traced) { t.say(p.At, "%v", p) }
	q := radius.Question{Username: f.user, Password: []byte(f.password), NAS: f.nas, Station: f.station}
	for {
		ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
		a, err := asker.Ask(ctx, q)
		cancel()
		if err != nil {
			return fmt.Errorf("%w (is the server running, this address one of its clients, the secret right? its log names what it drops)", err)
		}
		t.Answer, t.Text, t.Accepted = a.Code.String(), a.Text, a.Code == radius.Accept
		if a.Code != radius.Challenge {
			return t.end(cmd)
		}
		if t.out != nil {
			fmt.Fprintf(t.out, "\n  %s\n\n", a.Text)
		}
		if err := t.ask(cmd.Context(), &f.code, "Code, or Enter once you have approved"); err != nil {
			return err
		}
		q.State, q.Password = a.State, []byte(f.code)
		f.code = ""
	}
}

// dial makes the NAS's side, over UDP or TLS.
func (f *tryFlags) dial(ctx context.Context) (*radius.Asker, error) {
	if !f.overTLS {
		return radius.Dial(f.server, secret.Secret(f.secret))
	}
	roots, err := app.Authorities(f.caFile)
	if err != nil {
		return nil, err
	}
	creds := radius.Credentials{Authorities: func() *x509.CertPool { return roots }}
	if f.certFile != "" {
		cert, err := tls.LoadX509KeyPair(f.certFile, f.keyFile)
		if err != nil {
			return nil, err
		}
		creds.Certificate = func() *tls.Certificate { return &cert }
	}
	return radius.DialTLS(ctx, radius.LinkOptions{Address: f.server, ServerName: f.serverName, Credentials: creds})
}

func (f *tryFlags) ldap(cmd *cobra.Command) error {
	t := f.talk(cmd)
	if err := t.askPassword(cmd.Context(), &f.password); err != nil {
		return err
	}
	roots, err := app.Authorities(f.caFile)
	if err != nil {
		return err
	}
	password := f.password
	if f.code != "" {
		password += f.separator + f.code
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	t.say(time.Now(), "-> BindRequest %q", f.user)
	r, err := directory.Try(ctx, f.server, f.startTLS, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, f.user, password, f.base, f.filter)
	if err != nil {
		return err
	}
	t.Accepted, t.Text, t.Answer = r.Code == 0, r.Text, fmt.Sprintf("%d %s", r.Code, r.Name)
	t.say(time.Now(), "<- BindResponse %s %s", t.Answer, r.Text)
	if t.Accepted && f.base != "" {
		t.say(time.Now(), "<- %d entries below %s", r.Seen, f.base)
	}
	return t.end(cmd)
}
