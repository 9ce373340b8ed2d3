package app

import (
	"context"
	"fmt"
	"os"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/push"
)

// pushService is what phones are told through; nil: nothing is configured.
func (s *settings) pushService() (push.Sender, error) {
	switch {
	case s.config.Push.FCM != nil:
		return s.newFCM()
	case s.config.Push.Webhook != nil:
		return s.newWebhook()
	}
	return nil, nil
}

func (s *settings) newFCM() (*push.FCM, error) {
	f := s.config.Push.FCM
	credentials, err := os.ReadFile(f.CredentialsFile)
	if err != nil {
		return nil, fmt.Errorf("push.fcm.credentials_file: %w", err)
	}
	made, err := push.NewFCM(push.Options{
		CredentialsJSON: credentials, ProjectID: f.ProjectID, Endpoint: f.Endpoint, Proxy: f.Proxy, Log: s.log, Alerts: s.alerts(),
	})
	if err != nil {
		return nil, fmt.Errorf("push.fcm: %w", err)
	}
	return made, nil
}

func (s *settings) newWebhook() (*push.Webhook, error) {
	w := s.config.Push.Webhook
	roots, err := Authorities(w.CAFile)
	if err != nil {
		return nil, fmt.Errorf("push.webhook.ca_file: %w", err)
	}
	made, err := push.NewWebhook(push.WebhookOptions{URL: w.URL, Token: w.Token, Roots: roots, Log: s.log})
	if err != nil {
		return nil, fmt.Errorf("push.webhook: %w", err)
	}
	return made, nil
}

// alerts are the texts that iOS falls back to.
func (s *settings) alerts() push.Alerts {
	word := func(key string) string { return s.texts.Get("vi", key, nil) }
	all := push.Alerts{Login: push.Alert{Title: word("push.title"), Body: word("push.body")}, Notices: map[login.NoticeWord]push.Alert{}}
	for _, w := range login.NoticeWords {
		all.Notices[w] = push.Alert{Title: word("notice.title"), Body: word("notice." + string(w))}
	}
	return all
}

// targets gives push the devices that enrol knows.
type targets struct{ *enrol.People }

func (t targets) Targets(ctx context.Context, person string) ([]push.Target, error) {
	known, err := t.People.Targets(ctx, person)
	all := make([]push.Target, len(known))
	for i, k := range known {
		all[i] = push.Target(k)
	}
	return all, err
}
