package phoneapi

import (
	"context"
	"errors"
	"net/http"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// routesOfBackends are the calls of VssID's own servers.
func (a *API) routesOfBackends(r *routes) {
	register(r, "backend", http.MethodPost, "/v1/persons", "find-person", "Find the person with a number", 200, a.findPerson)
	register(r, "backend", http.MethodPut, "/v1/persons/{person_id}/devices/{their_id}", "put-device", "Bring a device of the person in, or up to date", 200, a.putDevice)
	register(r, "backend", http.MethodGet, "/v1/persons/{person_id}/logins", "person-logins", "The person's open logins", 200, a.personLogins)
	register(r, "backend", http.MethodPost, "/v1/persons/{person_id}/logins/{id}/answer", "person-answer", "Approve, deny or report a login of the person", 200, a.personAnswer)
}

// allowed is who asks, when he has one of the rights.
func allowed(ctx context.Context, rights ...Right) (*Backend, error) {
	b := callOf(ctx).backend
	if b == nil {
		return nil, problem(BadToken)
	}
	for _, r := range rights {
		if b.may(r) {
			return b, nil
		}
	}
	return nil, problem(NotAllowed)
}

// of is allowed, for a person who is there.
func (a *API) of(ctx context.Context, person string, right Right) (*Backend, error) {
	b, err := allowed(ctx, right)
	if err != nil {
		return nil, err
	}
	err = a.People.Has(ctx, person)
	if errors.Is(err, enrol.ErrNotFound) {
		err = problem(NotFound)
	}
	return b, err
}

type findInput struct {
	Body struct {
		Number   string `json:"bhxh_number,omitempty" pattern:"^[0-9]{10}$" doc:"Social insurance number; this, personal_id or both"`
		Personal string `json:"personal_id,omitempty" pattern:"^[0-9]{12}$" doc:"Personal identification number"`
	}
}

type findOutput struct {
	Body struct {
		PersonID string `json:"person_id" doc:"Opaque, so that numbers stay out of URLs"`
	}
}

func (a *API) findPerson(ctx context.Context, in *findInput) (*findOutput, error) {
	out := &findOutput{}
	_, err := allowed(ctx, MayDevices, MayShow, MayAnswer)
	if err == nil {
		out.Body.PersonID, err = a.People.PersonWith(ctx, in.Body.Number, in.Body.Personal)
	}
	if errors.Is(err, enrol.ErrNotFound) {
		err = problem(NotFound)
	}
	if err != nil {
		return nil, a.translate(callOf(ctx), err)
	}
	return out, nil
}

type putInput struct {
	PersonID string `path:"person_id" maxLength:"64"`
	TheirID  string `path:"their_id" minLength:"1" maxLength:"128" doc:"What VssID's servers call this installation, for good"`
	Body     struct {
		PublicKey     *PublicKey `json:"public_key,omitempty" doc:"The phone signs its own requests then, and the backend only vouches for the person; left out: as before"`
		Name          string     `json:"name" minLength:"1" maxLength:"100"`
		Platform      string     `json:"platform" enum:"ios,android,web"`
		AppVersion    string     `json:"app_version" maxLength:"50"`
		PushToken     string     `json:"push_token,omitempty" maxLength:"1024"`
		Can           []string   `json:"can,omitempty" enum:"code,approve,number" uniqueItems:"true" doc:"Default: code"`
		Notifications string     `json:"notifications,omitempty" enum:"allowed,denied"`
	}
}

func (a *API) putDevice(ctx context.Context, in *putInput) (*deviceOutput, error) {
	c := callOf(ctx)
	d, err := a.put(ctx, in)
	if err != nil {
		return nil, a.translate(c, err)
	}
	return own(d), nil
}

func (a *API) put(ctx context.Context, in *putInput) (enrol.Device, error) {
	b, err := a.of(ctx, in.PersonID, MayDevices)
	if err != nil {
		return enrol.Device{}, err
	}
	v := enrol.Vouched{
		Backend: b.Name, TheirID: in.TheirID, Person: in.PersonID,
		Name: in.Body.Name, Platform: in.Body.Platform, AppVersion: in.Body.AppVersion,
		PushToken: secret.Secret(in.Body.PushToken), Can: in.Body.Can, Notifications: in.Body.Notifications,
	}
	if in.Body.PublicKey != nil {
		if v.ID, v.Key, err = in.Body.PublicKey.identify(); err != nil {
			return enrol.Device{}, err
		}
	}
	d, replaced, err := a.People.Vouch(ctx, v)
	if err == nil {
		err = a.announce(ctx, d, b.presence())
	}
	for _, old := range replaced { // what it approved is not to be collected any more
		gone := a.Engine.Withdraw(ctx, old.Person, func(_, approver string) bool { return approver == old.ID })
		err = errors.Join(err, gone, a.Record(b.presence(), "device replace", old.ID))
	}
	return d, err
}

type personListInput struct {
	PersonID string `path:"person_id" maxLength:"64"`
	ListInput
}

func (a *API) personLogins(ctx context.Context, in *personListInput) (*listOutput, error) {
	c := callOf(ctx)
	spoken, err := a.spoken(ctx, in.PersonID, MayShow)
	if err != nil {
		return nil, a.translate(c, err)
	}
	logins, err := a.await(ctx, c.backend.presence()+" "+in.PersonID, in.PersonID, &in.ListInput)
	if err == nil && in.Wait > 0 && ctx.Err() == nil {
		if err = a.stillAsks(c); err == nil {
			spoken, err = a.spoken(ctx, in.PersonID, MayShow) // a device may have been revoked meanwhile
		}
	}
	if err != nil {
		return nil, a.translate(c, err)
	}
	return listed(logins, spoken...), nil
}

// spoken are the person's devices that the backend answers for.
func (a *API) spoken(ctx context.Context, person string, right Right) ([]enrol.Device, error) {
	b, err := a.of(ctx, person, right)
	if err != nil {
		return nil, err
	}
	return a.People.Spoken(ctx, b.Name, person)
}

type personAnswerInput struct {
	PersonID string `path:"person_id" maxLength:"64"`
	AnswerInput
}

func (a *API) personAnswer(ctx context.Context, in *personAnswerInput) (*answerOutput, error) {
	answered, err := a.answeredFor(ctx, in)
	if err != nil {
		return nil, a.translate(callOf(ctx), err)
	}
	return answerOf(answered), nil
}

// answeredFor takes a backend's answer on. It approves as one of its devices,
// which must have been there when the login opened; to deny it needs none.
func (a *API) answeredFor(ctx context.Context, in *personAnswerInput) (login.Answered, error) {
	spoken, err := a.spoken(ctx, in.PersonID, MayAnswer)
	if err != nil {
		return login.Answered{}, err
	}
	ans := in.answering()
	ans.Person, ans.Presence = in.PersonID, callOf(ctx).backend.presence()
	if ans.Kind == login.Approve {
		as := enrol.Device{} // can nothing
		for _, d := range spoken {
			if as = d; able(ans.Kind, ans.Number, d) == nil {
				break
			}
		}
		if err := able(ans.Kind, ans.Number, as); err != nil {
			return login.Answered{}, err
		}
		ans = by(as, ans)
	}
	return a.take(ctx, in.ID, ans)
}
