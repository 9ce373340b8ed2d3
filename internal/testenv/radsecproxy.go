package testenv

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Radsecproxy is a running radsecproxy.
type Radsecproxy struct {
	Addr string // 127.0.0.1:PORT, UDP or TCP
	log  transcript
}

// StartRadsecproxy runs radsecproxy with that configuration, in which ADDR
// stands for an address of its own, and ends it with the test.
func StartRadsecproxy(t testing.TB, config string) *Radsecproxy {
	t.Helper()
	path, err := exec.LookPath("radsecproxy")
	if err != nil {
		t.Fatal("radsecproxy is missing: test/packages.sh installs it")
	}
	p := &Radsecproxy{Addr: FreeAddr(t)}
	file := filepath.Join(t.TempDir(), "radsecproxy.conf")
	must(t, os.WriteFile(file, []byte(strings.ReplaceAll("LogLevel 1\nLogDestination x-stderr\n"+config, "ADDR", p.Addr)), 0o600))
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "-f", "-c", file)
	cmd.Stdout, cmd.Stderr = p.log.file(t), p.log.file(t)
	must(t, cmd.Start())
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("radsecproxy wrote:\n%s", p.log.String())
		}
	})
	return p
}

// RadsecproxyBefore is the configuration of a radsecproxy that takes RADIUS over
// TLS, from whom the authority has given a certificate, and asks that server
// over UDP.
func RadsecproxyBefore(ca *Authority, server, secret string) string {
	host, port, _ := strings.Cut(server, ":")
	return strings.NewReplacer("CAFILE", ca.CAFile, "CERTFILE", ca.CertFile, "KEYFILE", ca.KeyFile, "HOST", host, "PORT", port, "SECRET", secret).Replace(`
ListenTLS ADDR
tls default {
  CACertificateFile CAFILE
  CertificateFile CERTFILE
  CertificateKeyFile KEYFILE
}
client asker {
  host 127.0.0.1
  type tls
  secret radsec
  tls default
  CertificateNameCheck off
}
server plain {
  host HOST
  port PORT
  type udp
  secret SECRET
}
realm * {
  server plain
}
`)
}
