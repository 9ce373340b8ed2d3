package login

import (
	"context"
	"net/netip"
	"time"
)

// FrontEnd is the protocol a request came by.
type FrontEnd string

// The front ends.
const (
	RADIUS FrontEnd = "radius"
	LDAP   FrontEnd = "ldap"
)

// Mode is how a client asks for the second factor.
type Mode string

// The modes of a client (contract.md, "RADIUS, as a NAS sees it").
const (
	Challenge Mode = "challenge"
	Hold      Mode = "hold"
	Append    Mode = "append"
)

// Then is what a held request is answered when its hold ends undecided.
type Then string

// The two ends of a hold.
const (
	ThenReject    Then = "reject"
	ThenChallenge Then = "challenge"
)

// Approval is how a phone may confirm a login.
type Approval string

// The approvals.
const (
	ApprovalNumber Approval = "number" // type the digits shown at the login
	ApprovalSimple Approval = "simple" // approve or deny
	ApprovalOff    Approval = "off"    // codes only
)

// A Client is a configured peer that may ask us: a NAS or an LDAP application.
// Plain values, shared by all its requests and never changed.
type Client struct {
	Name      string
	Mode      Mode
	Hold      time.Duration // the longest a request stays unanswered
	Then      Then
	Separator string // between password and appended code; "": the last digits are the code
	JoinUser  bool   // join: user, for NASes that send no Calling-Station-Id
	Approval  Approval
	Language  string // vi or en

	// Remember: for so long from a confirmation on, the same account needs no
	// second factor again with the same password from the same station; at most
	// 24 h. 0: it always does.
	Remember time.Duration

	// Observe: until then nobody is asked, the first factor alone lets in, and
	// audit says what would have been. Zero: the second factor is needed.
	Observe time.Time
}

// A FirstFactor checks passwords. Its errors mean "cannot be asked": a wrong
// password or an unknown user is a fact, not an error.
type FirstFactor interface {
	// Resolve finds whom the directory knows under the typed name. An Identity
	// with an empty ID means nobody; Check then does the same work in vain.
	Resolve(ctx context.Context, username string) (Identity, error)

	// Check tells whether the password is id's. It is called at most once for
	// a request.
	Check(ctx context.Context, id Identity, password []byte) (Checked, error)
}

// An Identity is what the directory says of a user.
type Identity struct {
	ID          string   // immutable: entryUUID, objectGUID, "file:" and the name
	DN          string   // as the directory writes it; empty where there is none
	Username    string   // the directory's spelling, never the typed one
	DisplayName string   //
	Groups      []string // DNs (files: bare names)

	// AllGroups, asked once the password is right, tells all of the groups where
	// Groups are not: it may take the directory long. nil: Groups are all.
	AllGroups func(ctx context.Context) ([]string, error)

	Number    string // mã số BHXH from the directory; "" none
	Kind      string // person or organisation, as the directory writes it; "" it does not say
	Custodian string // number of the officer who has an organisation's account; "" the directory does not say

	newer []byte // see encode.go
}

// First is what is known of a request's password.
type First uint8

// What is known of a request's password.
const (
	FirstUnknown     First = iota
	FirstRight             //
	FirstMore              // a round of several: relay Checked.Relay
	FirstWrong             // Checked.Reason says how
	FirstUnreachable       // the first factor could not be asked
)

// Checked is the outcome of a first factor.
type Checked struct {
	First  First  // Right, More or Wrong
	Reason Reason // Wrong: BadPassword, AccountLocked, PasswordExpired, AccountDisabled or NotAllowed
	Detail string // Wrong: the directory's own word for it, for the log; "" none
	Relay  any    // More, Wrong: what the front end sends on; More: the next round comes with the State of that reply

	// Next, More: makes the first factor of the next round out of that round's
	// request; nil: the request's own First goes on.
	Next func(r *Request) FirstFactor

	// Identity is whom a conversation turned out to be about (EAP: the upstream's
	// User-Name), whatever Request.Username said; it then counts for everything.
	// nil: whom Resolve found. With an empty ID: nobody, never right.
	Identity *Identity

	// Keep, Right: what is to come back in Reply.Keep when this request, or one
	// that goes on from it, is let in: an upstream's attributes and keys. It is
	// sealed with the attempt, at most MaxKeep bytes.
	Keep []byte
}

// MaxKeep bounds Checked.Keep, in bytes: an Access-Accept has at most 4096.
const MaxKeep = 8 << 10

// A Request asks in the name of a login: one RADIUS packet or one LDAP bind.
// The front end fills it in and hands it to Engine.Handle.
type Request struct {
	FrontEnd FrontEnd
	Client   *Client
	NAS      string     // NAS-Identifier, else NAS-IP-Address; LDAP: ""
	Station  string     // Calling-Station-Id without port, or "" when it says nothing; LDAP: the application's address
	Source   netip.Addr // where the packet or connection came from
	Packet   []byte     // what makes this very packet known again (source, Identifier, Request Authenticator); LDAP: nil
	Username string     // as typed
	Password []byte     // as typed; with State: the code, or `ok`, or nothing; in a Conversation: see there
	State    []byte     // RADIUS State, or nil
	First    FirstFactor

	// OwnCheck: the password is checked on the asker's own connection, so even
	// a request that joins is checked (LDAP).
	OwnCheck bool

	// Conversation: no password came but a proof of one (CHAP, MS-CHAP), or a
	// part of a conversation about one (EAP). Password is then that proof with its
	// challenge, by which the same request is known again; nil: it never is.
	Conversation bool

	// Probe: a Conversation by CHAP or MS-CHAP, which some NASes try when PAP is
	// not answered at once. While a login by password of the same client, station
	// and name is open it is dropped (Silence, Probed); else, with First nil, it is
	// refused (BadAnswer, Probed): nobody can check it.
	Probe bool

	// NoChallenge: this request cannot be challenged, whatever its client's mode
	// (MS-CHAP, EAP other than GTC): it is held instead, and no number is shown.
	NoChallenge bool

	// Rule lets in without a second factor once the password is right, and is
	// what audit names: "exempt:cn=svc,dc=example". The front end resolved it.
	Rule string

	// Session is RADIUS's Acct-Session-Id, by which accounting may name the
	// session that this request begins; "" none.
	Session string

	// Again is filled in by Handle: to be called when the very same packet came
	// again, for who follows the login. nil: nobody does.
	Again func()

	// Reply is called exactly once, from any goroutine, when the engine is done
	// with the request; Reply.Kind Silence means that nothing is sent.
	Reply func(Reply)
}

// ReplyKind is what a request is answered.
type ReplyKind uint8

// The replies.
const (
	Silence   ReplyKind = iota // nothing is sent: superseded, or the asker has gone
	Accept                     //
	Reject                     // Reason says why; final or interim
	Ask                        // RADIUS Access-Challenge with State
	Relay                      // Access-Challenge of an upstream conversation: Data
	NoAnswer                   // a dependency is down: RADIUS silence, LDAP 52
	BadAnswer                  // the asker broke the protocol of States: plain reject without text
)

// PromptText is which text a challenge shows (texts.md, prompt.*).
type PromptText string

// The texts of a challenge.
const (
	PromptCode             PromptText = "prompt.code"
	PromptNumber           PromptText = "prompt.number"
	PromptSimple           PromptText = "prompt.simple"
	PromptNoPush           PromptText = "prompt.no_push"
	PromptNotificationsOff PromptText = "prompt.notifications_off"
	PromptAgain            PromptText = "prompt.again"
	PromptWrongCode        PromptText = "prompt.wrong_code"
	PromptFallback         PromptText = "prompt.fallback" // Reply.Codes says which
)

// A Reply answers one request. Front ends turn it into packets and texts.
type Reply struct {
	Kind     ReplyKind
	Reason   Reason        // Reject, NoAnswer, BadAnswer; Silence: Probed or ""
	Interim  bool          // Reject: the login is open still
	Prompt   PromptText    // Ask
	Number   string        // Ask: the number to match; "" none
	Tries    int           // wrong_code: how many tries are left
	Until    time.Time     // locked_out: until when; zero: until an administrator unlocks
	Approval Approval      // append_needed: simple has a text of its own
	Codes    FactorSet     // no phone can confirm: the codes that can; 0: a phone can
	Required time.Time     // Accept without a phone that could confirm: since when one will be needed; zero otherwise
	ValidFor time.Duration // how long the code is valid
	State    []byte        // Ask, Relay
	Data     any           // Relay, or Reject of a wrong password: Checked.Relay
	Trace    string        // ends every text: six characters
	Attempt  ID
	Stray    *Request // BadAnswer: no login stands behind it, so nobody was told: that is up to the front end (Strays). Not to be kept
	Identity Identity // Accept: whom
	Factor   Factor   // Accept: by what
	Keep     []byte   // Accept: what the first factor gave for it; see Checked.Keep
}
