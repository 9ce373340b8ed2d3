package phoneapi

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkSignature verifies what a phone signed, on one core: form, signature,
// claims and the hash of the body.
func BenchmarkSignature(b *testing.B) {
	f := newFixture(b)
	d, body := f.newDevice(), []byte(`{"answer":"approve","number":"42"}`)
	point, err := d.key.PublicKey.Bytes()
	require.NoError(b, err)
	claims := d.claims("POST", "/v1/logins/0102030405060708090a0b0c0d0e0f10/answer", body)
	token := d.sign(d.header(), claims)
	request := signedFor{public, "POST", claims["htu"].(string), body}
	n := 0
	for b.Loop() {
		s, err := parseSignature(token)
		if err != nil {
			b.Fatal(err)
		}
		key, err := parsePoint(point)
		if err != nil {
			b.Fatal(err)
		}
		c, err := s.by(key)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.check(request, instant(c.Issued)); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "signatures/s")
}
