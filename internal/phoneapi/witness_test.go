package phoneapi

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
)

// signedAnswer is the evidence of an answer as the API keeps it.
func (d *device) signedAnswer(id login.ID, says any, change ...func(claims map[string]any)) string {
	body, err := json.Marshal(says)
	require.NoError(d.f.t, err)
	claims := d.claims("POST", "/v1/logins/"+id.String()+"/answer", body)
	for _, c := range change {
		c(claims)
	}
	return (&call{token: d.sign(d.header(), claims), body: body}).signed()
}

func TestEvidenceIsVerifiedAgain(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled()
	record, _, err := f.people.Device(t.Context(), d.id)
	require.NoError(t, err)
	id := login.NewID()
	evidence := Evidence{People: f.people}
	read := func(signed string) (login.Answering, error) {
		return evidence.Witness(t.Context(), id, login.Given{Kind: login.Approve, Device: d.id, Presence: "device_key", At: time.Now(), Signed: signed})
	}
	approval := map[string]any{"answer": "approve", "number": "42"}
	signed := d.signedAnswer(id, approval)
	got, err := read(signed)
	require.NoError(t, err)
	require.Equal(t, login.Answering{Kind: login.Approve, Number: "42", Person: record.Person, Device: d.id, Enrolled: record.Enrolled}, got)
	got, err = read(d.signedAnswer(id, map[string]any{"answer": "deny", "shown": shownBody()}))
	require.NoError(t, err)
	require.Equal(t, login.Deny, got.Kind, "what was said, whatever the record says")
	require.Equal(t, "hq-vpn", got.Shown.Client)
	_, err = read(d.signedAnswer(id, approval, func(c map[string]any) {
		c["htu"] = "/v1/logins/" + strings.ToUpper(id.String()) + "/answer?x=1"
	}))
	require.NoError(t, err, "the same login, as the API takes it")

	stranger := f.newDevice()
	as := *stranger
	as.id = d.id
	other := login.NewID()
	cut := strings.LastIndexByte(signed, '.')
	for name, forged := range map[string]string{
		"none":                        "",
		"no signature":                "jws",
		"no body":                     signed[:cut],
		"another body":                signed[:cut+1] + b64([]byte(`{"answer":"approve"}`)),
		"of a stranger":               stranger.signedAnswer(id, approval),
		"of a stranger in its name":   as.signedAnswer(id, approval),
		"for another login":           d.signedAnswer(other, approval),
		"for another call":            d.signedAnswer(id, approval, func(c map[string]any) { c["htu"] = "/v1/logins" }),
		"by another method":           d.signedAnswer(id, approval, func(c map[string]any) { c["htm"] = "GET" }),
		"from long before the answer": d.signedAnswer(id, approval, func(c map[string]any) { c["iat"] = c["iat"].(float64) - 300; c["exp"] = c["exp"].(float64) - 300 }),
		"from after the answer":       d.signedAnswer(id, approval, func(c map[string]any) { c["iat"] = c["iat"].(float64) + 300; c["exp"] = c["exp"].(float64) + 300 }),
	} {
		_, err := read(forged)
		require.ErrorIs(t, err, login.ErrEvidence, name)
	}

	f.store.fail(errors.New("away"))
	_, err = read(signed)
	require.Error(t, err)
	require.NotErrorIs(t, err, login.ErrEvidence, "that it cannot be looked up says nothing of it")
	f.store.fail(nil)
	_, err = f.people.Revoke(t.Context(), d.id)
	require.NoError(t, err)
	_, err = read(signed)
	require.ErrorIs(t, err, login.ErrEvidence, "revoked meanwhile")
}

// A backend has signed nothing: it must be one that may answer for the device.
func TestABackendsWordIsLookedAtAgain(t *testing.T) {
	f := newFixture(t)
	own := f.enrolled()
	keyless, _, err := f.people.Vouch(t.Context(), enrol.Vouched{Backend: "vssid", TheirID: "d-1", Person: f.person(own), Name: "An's", Platform: "android", AppVersion: "1.6.8"})
	require.NoError(t, err)
	evidence := Evidence{People: f.people, Backends: func() []Backend {
		return []Backend{{Name: "vssid", May: everything}, {Name: "shows", May: []Right{MayShow}}}
	}}
	given := login.Given{Kind: login.Approve, Number: "42", Device: keyless.ID, Presence: "backend:vssid", At: time.Now()}
	got, err := evidence.Witness(t.Context(), login.NewID(), given)
	require.NoError(t, err)
	require.Equal(t, login.Answering{Kind: login.Approve, Number: "42", Person: keyless.Person, Device: keyless.ID, Enrolled: keyless.Enrolled}, got)
	for name, change := range map[string]func(*login.Given){
		"of a backend that may not answer":  func(g *login.Given) { g.Presence = "backend:shows" },
		"of a backend that is none":         func(g *login.Given) { g.Presence = "backend:gone" },
		"as a device that speaks by itself": func(g *login.Given) { g.Device = own.id },
		"as no device":                      func(g *login.Given) { g.Device = "" },
		"as if the device had signed":       func(g *login.Given) { g.Presence = "device_key" },
	} {
		forged := given
		change(&forged)
		_, err := evidence.Witness(t.Context(), login.NewID(), forged)
		require.ErrorIs(t, err, login.ErrEvidence, name)
	}
	_, err = f.people.Revoke(t.Context(), keyless.ID)
	require.NoError(t, err)
	_, err = evidence.Witness(t.Context(), login.NewID(), given)
	require.ErrorIs(t, err, login.ErrEvidence, "revoked meanwhile")
}
