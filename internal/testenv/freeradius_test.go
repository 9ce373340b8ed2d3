package testenv

import (
	"os/exec"
	"strings"
	"testing"
)

// A server as the tests of the upstream take it for granted.
func TestFreeRADIUS(t *testing.T) {
	f := StartFreeRADIUS(t, FreeRADIUSOptions{Reply: `Class = 0x6f6e65, Tunnel-Password:1 = "within the tunnel"`})
	ask := func(attributes string) string {
		cmd := exec.Command("radclient", "-x", "-t", "5", "-r", "1", f.Addr, "auth", FreeRADIUSSecret)
		cmd.Stdin = strings.NewReader("User-Name = " + UserName(1) + "\n" + attributes + "\nMessage-Authenticator = 0x00\n")
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	for name, c := range map[string]struct{ attributes, want string }{
		"right":       {`User-Password = ` + UserPassword(1), "Received Access-Accept"},
		"CHAP":        {`CHAP-Password = ` + UserPassword(1), "Received Access-Accept"},
		"MS-CHAP":     {`MS-CHAP-Password = ` + UserPassword(1), "MS-CHAP-MPPE-Keys"},
		"wrong":       {`User-Password = wrong`, "Received Access-Reject"},
		"is signed":   {`User-Password = wrong`, "Message-Authenticator = 0x"},
		"with tunnel": {`User-Password = ` + UserPassword(1), `Tunnel-Password:1 = "within the tunnel"`},
	} {
		out := ask(c.attributes)
		_, answer, _ := strings.Cut(out, "Received ")
		if !strings.Contains("Received "+answer, c.want) {
			t.Errorf("%s: want %s in\n%s", name, c.want, out)
		}
	}
	if t.Failed() {
		t.Log(f.Log())
	}
}
