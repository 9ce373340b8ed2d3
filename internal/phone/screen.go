package phone

import (
	"fmt"
	"io"
	"time"

	"vssgate/internal/texts"
)

// A screen is what VssID would show.
type screen struct {
	out      io.Writer
	language string
	texts    *texts.Texts
}

func newScreen(out io.Writer, language string) (*screen, error) {
	t, err := newTexts(language)
	return &screen{out: out, language: language, texts: t}, err
}

func (s *screen) say(key string, values map[string]any) {
	fmt.Fprintln(s.out, s.texts.Get(s.language, key, values))
}

// show shows the open logins, newest first.
func (s *screen) show(list List) {
	if len(list.Logins) == 0 {
		s.say("phone.none_open", nil)
		return
	}
	s.say("phone.title", nil)
	for i, l := range list.Logins {
		fmt.Fprintf(s.out, "%d. %s (%s)\n", i+1, l.ID, l.Approval)
		s.say("phone.login", map[string]any{
			"Code": l.Code, "Left": l.Expires.Sub(list.ServerTime),
			"Client": l.Client, "From": l.From, "Username": l.Username,
		})
	}
	s.say("phone.reopen", nil)
}

// answered tells what became of an answer.
func (s *screen) answered(a Answered) {
	switch a.Verdict {
	case "waiting_for_retry":
		grace := max(1, a.RetryWithin)
		s.say("phone.nobody_waits", map[string]any{"Grace": time.Duration(grace) * time.Second})
	case "rejected":
		s.say("phone.denied", nil)
	default:
		fmt.Fprintln(s.out, words[s.lang()].accepted)
	}
}

func (s *screen) lang() string {
	if s.language == "en" {
		return "en"
	}
	return "vi"
}

// words are of this stand-in's own screen alone.
var words = map[string]struct{ accepted, keys, number string }{
	"vi": {
		accepted: "Đã đồng ý. Máy tính đã đăng nhập.",
		keys:     "[a] đồng ý  [d] từ chối  [r] không phải tôi  [q] thoát",
		number:   "Số đang hiện ở màn hình đăng nhập, rồi Enter: ",
	},
	"en": {
		accepted: "Approved. The computer has logged in.",
		keys:     "[a] approve  [d] deny  [r] not me  [q] quit",
		number:   "The number that the login screen shows, then Enter: ",
	},
}
