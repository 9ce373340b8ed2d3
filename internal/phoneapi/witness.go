package phoneapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
)

// Evidence is how answers are read again that were taken before, perhaps by
// another node. It is the login.Witness.
type Evidence struct {
	People   *enrol.People
	Backends func() []Backend // as of now; nil: none
}

// Witness verifies the signature once more, as it was when the answer came, with
// the key that is pinned now. For a backend's answer nothing was signed: that it
// may still answer, for that device, is all there is to find.
func (w Evidence) Witness(ctx context.Context, id login.ID, g login.Given) (login.Answering, error) {
	if b := w.backend(g.Presence); b != nil {
		return w.vouched(ctx, b, g)
	}
	token, body, err := cutEvidence(g.Signed)
	if err != nil {
		return login.Answering{}, err
	}
	s, err := parseSignature(token)
	if err != nil {
		return login.Answering{}, unproven(err)
	}
	d, err := w.device(ctx, s.device)
	if err != nil {
		return login.Answering{}, err
	}
	in, err := s.answer(id, d, body, g)
	if err != nil {
		return login.Answering{}, unproven(err)
	}
	return by(d, in.answering()), nil
}

// backend is the one of that presence, when it may answer.
func (w Evidence) backend(presence string) *Backend {
	if w.Backends == nil {
		return nil
	}
	for _, b := range w.Backends() {
		if b.presence() == presence && b.may(MayAnswer) {
			return &b
		}
	}
	return nil
}

// vouched is what a backend has said.
func (w Evidence) vouched(ctx context.Context, b *Backend, g login.Given) (login.Answering, error) {
	d, err := w.device(ctx, g.Device)
	if err == nil && (d.Backend != b.Name || len(d.Key) > 0) {
		err = fmt.Errorf("%w: %s does not answer for the device", login.ErrEvidence, g.Presence)
	}
	return by(d, login.Answering{Kind: g.Kind, Number: g.Number}), err
}

func (w Evidence) device(ctx context.Context, id string) (enrol.Device, error) {
	d, _, err := w.People.Device(ctx, id)
	switch {
	case errors.Is(err, enrol.ErrNotFound):
		err = unproven(err)
	case err == nil && d.Revoked != nil:
		err = fmt.Errorf("%w: the device was revoked", login.ErrEvidence)
	}
	return d, err
}

// by is an answer of that device.
func by(d enrol.Device, ans login.Answering) login.Answering {
	ans.Person, ans.Device, ans.Enrolled = d.Person, d.ID, d.Enrolled
	return ans
}

// cutEvidence takes apart what call.signed put together.
func cutEvidence(signed string) (token string, body []byte, err error) {
	cut := max(strings.LastIndexByte(signed, '.'), 0)
	body, err = base64.RawURLEncoding.DecodeString(strings.TrimPrefix(signed[cut:], "."))
	if cut == 0 || err != nil {
		return "", nil, fmt.Errorf("%w: nothing that was signed", login.ErrEvidence)
	}
	return signed[:cut], body, nil
}

// answer is what the device has signed: an answer to that login, at that time.
// For which server is not asked again: no other has a login of that id.
func (s signature) answer(id login.ID, d enrol.Device, body []byte, g login.Given) (in AnswerInput, err error) {
	key, err := parsePoint(d.Key)
	if err != nil {
		return in, err
	}
	c, err := s.by(key)
	if err != nil {
		return in, err
	}
	target, err := url.ParseRequestURI(c.Target)
	if err != nil || !strings.EqualFold(target.Path, "/v1/logins/"+id.String()+"/answer") {
		return in, errors.New("signed for another login")
	}
	if err := c.check(signedFor{c.Audience, http.MethodPost, c.Target, body}, g.At); err != nil {
		return in, err
	}
	return in, json.Unmarshal(body, &in.Body)
}

func unproven(err error) error { return fmt.Errorf("%w: %w", login.ErrEvidence, err) }
