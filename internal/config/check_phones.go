package config

import (
	"errors"
	"io/fs"
	"net/url"
	"strings"
)

func (d *decoder) checkVssID(v *VssID) {
	d.listen("vssid.listen", v.Listen)
	d.pair("vssid.tls", &v.TLS.CertFile, &v.TLS.KeyFile)
	if v.TLS.CertFile == "" && !loopback(hostOf(v.Listen)) {
		d.warn("vssid.listen", "%s speaks plain HTTP to the network; give vssid.tls, or listen on 127.0.0.1 behind a proxy", v.Listen)
	}
	d.checkPublicURL(v)
	if !aVersion.MatchString(v.MinVersion) {
		d.wrong("vssid.min_version", "%q; want numbers between dots, like 1.6.8", v.MinVersion)
	}
	if len(v.Platforms) == 0 {
		d.wrong("vssid.platforms", "want at least one of ios, android and web")
	}
	for i, p := range v.Platforms {
		d.oneOf(position("vssid.platforms", i), p, "ios", "android", "web")
	}
	d.between("vssid.max_devices", v.MaxDevices, 1, 100)
	d.checkBackends(v.BackendTokens)
}

// LeastToken is how long a backend's token must be: at 32 characters made at
// random it cannot be guessed.
const LeastToken = 32

func (d *decoder) checkBackends(all []BackendToken) {
	names := map[string]bool{}
	for i := range all {
		b, path := &all[i], position("vssid.backend_tokens", i)
		switch {
		case b.Name == "":
			d.wrong(path+".name", "is missing; it stands in the audit")
		case names[b.Name]:
			d.wrong(path+".name", "another backend is called %q too; choose another name", b.Name)
		}
		names[b.Name] = true
		for j, may := range b.May {
			d.oneOf(position(path+".may", j), may, "devices", "show", "answer")
		}
		if len(b.May) == 0 {
			d.warn(path, "%s may nothing; give it some of may: [devices, show, answer]", or(b.Name, "it"))
		}
		if len(b.Addresses) == 0 {
			d.warn(path, "%s may ask from anywhere: whoever steals its token can too; write its addresses", or(b.Name, "it"))
		}
		d.checkTokenFiles(path+".token_files", b.TokenFiles)
	}
}

// checkTokenFiles wants the first file; the others may come and go, as a token
// is replaced by the next.
func (d *decoder) checkTokenFiles(path string, files []string) {
	if len(files) == 0 {
		d.wrong(path, "want the file of its token, like [vssid.token], and perhaps one for the next")
	}
	for i := range files {
		at := position(path, i)
		files[i] = d.abs(files[i])
		raw, err := readFile(files[i])
		switch {
		case errors.Is(err, fs.ErrNotExist) && i > 0:
			continue
		case err != nil:
			d.wrong(at, "%v", err)
		case len(strings.TrimSpace(string(raw))) < LeastToken:
			d.wrong(at, "%s: want at least %d characters made at random; openssl rand -base64 33 makes them", files[i], LeastToken)
		}
		d.private(at, files[i], 0o077)
	}
}

// checkPublicURL wants https, except on this machine: what phones show and
// answer travels there. Left out, it is where we listen, if that is this machine.
func (d *decoder) checkPublicURL(v *VssID) {
	const path = "vssid.public_url"
	if v.PublicURL == "" {
		if !loopback(hostOf(v.Listen)) {
			d.wrong(path, "is missing: how phones reach the phone API, like https://otp.example.vn")
			return
		}
		scheme := "http://"
		if v.TLS.CertFile != "" {
			scheme = "https://"
		}
		v.PublicURL = scheme + v.Listen
		if d.written("vssid") {
			d.warn(path, "is missing: phones are told %s", v.PublicURL)
		}
		return
	}
	u := d.webURL(path, v.PublicURL)
	switch {
	case u == nil:
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		d.wrong(path, "%s; want https://HOST, with a path if need be, and nothing behind it", v.PublicURL)
	case u.Scheme == "https":
	case loopback(u.Hostname()):
		d.warn(path, "%s is for this machine only", v.PublicURL)
	default:
		d.wrong(path, "%s would take phones' requests unencrypted; use https://", v.PublicURL)
	}
}

func (d *decoder) checkPush(p *Push) {
	if p.Webhook != nil && *p.Webhook == (Webhook{}) && d.anyWritten("push.webhook", "url", "token_file", "ca_file") {
		p.Webhook = nil // keys with their defaults are as good as left out
	}
	if p.FCM != nil && p.Webhook != nil {
		d.wrong("push.webhook", "stands beside push.fcm: phones would be told twice; give one of them")
	}
	d.checkFCM(p.FCM)
	d.checkWebhook(p.Webhook)
}

func (d *decoder) checkWebhook(w *Webhook) {
	if w == nil || d.isBroken("push.webhook") {
		return
	}
	if w.URL == "" {
		d.wrong("push.webhook.url", "is missing: where VssID's own push service takes messages, like https://push.example.vn/vssgate")
	} else if u := d.webURL("push.webhook.url", w.URL); u != nil {
		d.checkWebhookURL(u, w)
	}
	d.authorities("push.webhook.ca_file", &w.CAFile)
}

func (d *decoder) checkWebhookURL(u *url.URL, w *Webhook) {
	switch {
	case u.Scheme == "http" && !loopback(u.Hostname()):
		d.wrong("push.webhook.url", "would take push tokens unencrypted; use https://") // not quoted: a key may be in it
	case u.Fragment != "":
		d.wrong("push.webhook.url", "ends in #..., which is never sent; take that out")
	case w.Token == "" && !loopback(u.Hostname()):
		d.warn("push.webhook.token", "is missing: the service cannot tell who asks it to push; give token_file")
	}
}

func (d *decoder) checkFCM(f *FCM) {
	if f == nil || d.isBroken("push.fcm") {
		return
	}
	d.serviceAccount(f)
	if u := d.webURL("push.fcm.endpoint", f.Endpoint); u != nil && (!strings.HasSuffix(u.Path, "/v1") || u.Scheme == "http" && !loopback(u.Hostname())) {
		d.wrong("push.fcm.endpoint", "%s; want https://HOST/v1 (http:// on this machine only)", f.Endpoint)
	}
	if f.Proxy == "" {
		return
	}
	if u, err := url.Parse(f.Proxy); err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" {
		d.wrong("push.fcm.proxy", "want a URL like http://proxy.example.vn:3128") // not quoted: a password may be in it
	}
}
