package config

import (
	"slices"
	"time"

	"vssgate/internal/nas"
)

// preset fills in what follows from the kind of NAS. What is written wins, also
// where it says the same. approval is never filled in: what lets in without a
// number to match is for the administrator to say.
func (d *decoder) preset(c *Config, k *RADIUSClient, path string) {
	if k.NAS == "" {
		return
	}
	kind, known := nas.Find(k.NAS)
	if !known {
		d.wrong(path+".nas", "%q is no kind of NAS; want %s", k.NAS, list(nas.Names()))
		return
	}
	if !d.written(path + ".mode") {
		k.Mode = kind.Mode
	}
	for key, preset := range map[string]struct {
		into  *string
		value string
	}{"then": {&k.Then, kind.ThenIn(k.Mode)}, "separator": {&k.Separator, kind.Separator}, "join": {&k.Join, kind.Join}} {
		if preset.value != "" && !d.written(path+"."+key) {
			*preset.into = preset.value
		}
	}
	if kind.BareReplies && !d.written(path+".message_authenticator_in_replies") {
		k.MessageAuthenticatorInReplies = false
	}
	if kind.Unsigned && k.RequireMessageAuthenticator == "yes" {
		d.warn(path+".require_message_authenticator", "a NAS of kind %s cannot send it: every request will be dropped; write auto, and keep it on a network of its own", kind.Name)
	}
	if kind.MSCHAPOnly && !c.upstream(k.FirstFactor) {
		d.warn(path+".nas", "a NAS of kind %s speaks MSCHAPv2 only, which neither a directory nor a file can check; give the client a first_factor with radius servers", kind.Name)
	}
	longest := time.Duration(kind.LongestHold)
	switch {
	case k.Hold == unset:
		k.Hold = min(kind.HoldIn(k.Mode, defaultHold[k.Mode]), c.SecondFactor.ValidFor)
	case longest > 0 && k.Hold > longest:
		d.warn(path+".hold", "%s is longer than a NAS of kind %s ever waits; write %s", short(k.Hold), kind.Name, short(longest))
	}
}

// upstream tells whether the first factor of that name, "" the first one, is
// RADIUS servers; also where there is none, which is told elsewhere.
func (c *Config) upstream(name string) bool {
	i := slices.IndexFunc(c.FirstFactors, func(f FirstFactor) bool { return name == "" || f.Name == name })
	return i < 0 || c.FirstFactors[i].RADIUS != nil
}

// modeFrom is the kind of NAS that says which mode is used.
func (d *decoder) modeFrom(k *RADIUSClient, path string) string {
	if d.written(path + ".mode") {
		return ""
	}
	return k.NAS
}
