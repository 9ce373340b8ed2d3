package demo

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"time"
)

// A pushService stands in for VssID's own: it takes what would make a phone show
// a notification.
type pushService struct {
	url  string
	told chan string // whose phone was told that a login waits
}

// tokenPrefix begins the push token of a demo phone; its user follows.
const tokenPrefix = "push-token-of-"

func startPush(ctx context.Context) (*pushService, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &pushService{url: "http://" + l.Addr().String() + "/", told: make(chan string, 100)}
	server := &http.Server{Handler: p, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	go server.Serve(l)
	return p, nil
}

func (p *pushService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m map[string]string
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&m); err != nil {
		http.Error(w, "want a JSON object", http.StatusBadRequest)
		return
	}
	if user, ok := strings.CutPrefix(m["push_token"], tokenPrefix); ok && m["type"] == "login" {
		select {
		case p.told <- user:
		default: // the walk is over: nobody looks
		}
	}
	w.WriteHeader(http.StatusNoContent)
}
