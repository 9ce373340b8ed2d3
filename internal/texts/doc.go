// Package texts turns what vssgate knows into what people read: the prompts
// and refusals of RADIUS and LDAP, the texts of pushes and phones, the hints of
// login pages. All of them exist in Vietnamese and in English.
//
//	t, err := texts.New(texts.Options{AccountURL: "https://user.example.vn", MinVersion: "1.6.8"})
//	t.Reply(client, reply)          // "Enter the 6-digit code shown in VssID (...). [K7QF2D]"
//	t.Get("vi", "push.title", nil)  // "Xác nhận đăng nhập"
//
// What Reply returns fits one RADIUS attribute: at most 253 bytes of UTF-8 in
// NFC (RFC 2865 section 5.18), and ends with the login's trace id.
//
// The wordings are in vi.json and en.json, in the form that go-i18n reads.
// They are compiled once, by New, into lists of pieces, so that rendering is
// copying.
//
// Map: texts.go (options, New, Get), reply.go (login.Reply to text), book.go
// (one language, compiled), format.go (durations, times, plain ASCII).
package texts
