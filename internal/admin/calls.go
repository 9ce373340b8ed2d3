package admin

import (
	"slices"
	"time"
)

// User names an account as at login: resolved in the directory, and created on
// first mention.
type User struct {
	User string `json:"user"`
}

// SetNumbers declares whose account it is.
type SetNumbers struct {
	User       string `json:"user"`
	BHXHNumber string `json:"bhxh_number,omitempty"`
	PersonalID string `json:"personal_id,omitempty"`

	Organisation bool `json:"organisation,omitempty"` // an organisation's account: it has a custodian instead of a number
}

// Assign gives an organisation's account to its custodian. Days are YYYY-MM-DD
// or DD/MM/YYYY.
type Assign struct {
	User         string `json:"user"`
	Custodian    string `json:"custodian"` // his number, of either kind
	Document     string `json:"document"`
	DocumentDate string `json:"document_date"`
	From         string `json:"from,omitempty"`  // first day; "": now
	Until        string `json:"until,omitempty"` // last day; "": until another assignment
}

// Remove erases an account, and its person when it was their last one.
type Remove struct {
	User string `json:"user"`
	Why  string `json:"why"`
}

// Removed says what was erased, and what is kept and why.
type Removed struct {
	Account string   `json:"account"`
	Numbers int      `json:"numbers"`
	Devices int      `json:"devices"`
	Codes   bool     `json:"codes"` // authenticator app, recovery or help-desk codes
	Kept    []string `json:"kept"`
}

// Import declares many accounts. Check looks and writes nothing.
type Import struct {
	Rows  []Row `json:"rows"`
	Check bool  `json:"check"`
	All   int   `json:"all,omitempty"` // how many there are in all the calls of one import, for the audit
}

// Row is one account of an import or export; empty fields say nothing.
type Row struct {
	Line         int    `json:"line"`
	Username     string `json:"username"`
	Kind         string `json:"kind"`
	BHXHNumber   string `json:"bhxh_number"`
	PersonalID   string `json:"personal_id"`
	Custodian    string `json:"custodian"`
	Document     string `json:"document"`
	DocumentDate string `json:"document_date"`
	From         string `json:"from"`
	Until        string `json:"until"`
}

// Imported says which rows are wrong; without any, all were written.
type Imported struct {
	Bad []BadRow `json:"bad"`
}

// BadRow is a row that cannot be imported.
type BadRow struct {
	Line int    `json:"line"`
	Why  string `json:"why"`
}

// ExportAccounts has all accounts with their numbers in full.
type ExportAccounts struct {
	Why string `json:"why"`
}

// Show asks for an account; Reveal shows its numbers in full and is audited.
type Show struct {
	User   string `json:"user"`
	Reveal bool   `json:"reveal,omitempty"`
	Why    string `json:"why,omitempty"`
}

// Account is what is known of one. Numbers are masked unless revealed.
type Account struct {
	ID          string     `json:"id"`
	Username    string     `json:"username"`
	DisplayName string     `json:"display_name"`
	Kind        string     `json:"kind"` // person or organisation
	BHXHNumber  string     `json:"bhxh_number,omitempty"`
	PersonalID  string     `json:"personal_id,omitempty"`
	Problem     string     `json:"problem,omitempty"` // why it could not log in now
	Locked      bool       `json:"locked"`
	LockedUntil *time.Time `json:"locked_until,omitempty"`
	Devices     []Device   `json:"devices"`
	Fallbacks   *Fallbacks `json:"fallbacks,omitempty"` // codes of its own

	Assignments []Assignment `json:"assignments,omitempty"` // of an organisation's account, oldest first

	Standing *Standing `json:"standing"`         // what counts against it now
	Logins   []Login   `json:"logins,omitempty"` // show alone: the open ones, then the latest in this node's audit
}

// Standing is what counts against an account now.
type Standing struct {
	Reported       bool       `json:"reported"`    // locked because its owner reported a login, not by wrong codes
	WrongCodes     int        `json:"wrong_codes"` // that no right code has forgiven
	LocksAt        int        `json:"locks_at"`    // of those: when it is locked next
	WrongPasswords int        `json:"wrong_passwords"`
	ThrottledUntil *time.Time `json:"throttled_until,omitempty"` // no password is passed to the directory before
	Prompts        int        `json:"unanswered_prompts"`
	PromptedFrom   *time.Time `json:"prompted_from,omitempty"` // phones are not told of logins before
}

// Assignment is who had an organisation's account, and by which document.
type Assignment struct {
	Custodian    string     `json:"custodian"` // masked unless revealed
	Document     string     `json:"document"`
	DocumentDate string     `json:"document_date"`
	From         time.Time  `json:"from"`
	Until        *time.Time `json:"until,omitempty"`
	Made         time.Time  `json:"made"`
}

// Unlock lets an account log in again.
type Unlock struct {
	User string `json:"user"`
	Why  string `json:"why"`
}

// Activation is what a phone is enrolled with, once.
type Activation struct {
	ActivationCode string    `json:"activation_code"`
	TypedCode      string    `json:"typed_code"` // the same by hand: USER:ABCD-EFGH
	Expires        time.Time `json:"expires"`
	URL            string    `json:"url"`
}

// Device is one VssID installation.
type Device struct {
	ID            string    `json:"id"`
	Name          string    `json:"name"`
	Platform      string    `json:"platform"`
	AppVersion    string    `json:"app_version"`
	Can           []string  `json:"can"`
	Notifications string    `json:"notifications,omitempty"`
	Push          bool      `json:"push"`
	SignedIn      bool      `json:"signed_in"`
	Enrolled      time.Time `json:"enrolled"`
}

// Revoke ends a device for good.
type Revoke struct {
	Device string `json:"device"`
	Why    string `json:"why,omitempty"`
}

// Export asks which audit records are a person's; it is audited itself.
type Export struct {
	User string `json:"user"`
	Why  string `json:"why"`
}

// Exported says where the records are, and of which accounts and devices.
type Exported struct {
	File string   `json:"file"`
	IDs  []string `json:"ids"`
}

// AuditHead is the newest record that the daemon has written.
type AuditHead struct {
	File string `json:"file"` // where it writes
	Hash string `json:"hash"`
}

// NAS names a RADIUS client.
type NAS struct {
	Client string `json:"client"`
	Why    string `json:"why,omitempty"`
}

// Forgotten tells of how many NASes of a client it was remembered that they
// sign their requests.
type Forgotten struct {
	Client string `json:"client"`
	NASes  int    `json:"nases"`
}

// SeenClient is what was measured of a RADIUS client since the start, and
// before.
type SeenClient struct {
	Client                      string    `json:"client"`
	Mode                        string    `json:"mode"`
	HoldMS                      int64     `json:"hold_ms"`
	RequireMessageAuthenticator string    `json:"require_message_authenticator"`
	Timers                      []Timers  `json:"timers"`
	NASes                       []SeenNAS `json:"nases"`
}

// Timers are what a client's NASes have shown of their patience with requests
// of one method. 0: not known.
type Timers struct {
	Method    string    `json:"method"`
	GapMS     int64     `json:"gap_ms"`      // between the first two tries
	Tries     int       `json:"tries"`       // how often a packet is sent
	WaitMS    int64     `json:"wait_ms"`     // in all, before it gives up
	AtLeastMS int64     `json:"at_least_ms"` // it has waited that long, for sure
	GiveUps   int       `json:"give_ups"`    // how many tries and wait rest on
	Seen      time.Time `json:"seen"`
	Advice    string    `json:"advice,omitempty"` // what to change, if hold is longer than it waits
}

// SeenNAS is one NAS of a client.
type SeenNAS struct {
	From           string     `json:"from"`
	Identifier     string     `json:"nas_identifier,omitempty"`
	Signs          bool       `json:"signs"`                     // it must send Message-Authenticator
	Bare           *time.Time `json:"unsigned,omitempty"`        // the last request without
	PreviousSecret *time.Time `json:"previous_secret,omitempty"` // it still uses it
	Seen           *time.Time `json:"seen,omitempty"`            // not since the start
}

// EmergencyOn lets a group in on the password alone for 1 to 60 minutes.
type EmergencyOn struct {
	Group   string `json:"group"` // DN
	Minutes int    `json:"minutes"`
	Why     string `json:"why"`
}

// EmergencyOff ends it before its time.
type EmergencyOff struct {
	Why string `json:"why,omitempty"`
}

// Emergency is whether one is on.
type Emergency struct {
	On    bool       `json:"on"`
	Group string     `json:"group,omitempty"`
	Until *time.Time `json:"until,omitempty"`
	By    string     `json:"by,omitempty"`
	Why   string     `json:"why,omitempty"`

	Warning string `json:"warning,omitempty"` // when it was declared: nobody was found who is in the group
}

// Rollout asks who could log in tomorrow.
type Rollout struct {
	Under  string `json:"under,omitempty"`  // DN of a part of the directory; "": all
	Client string `json:"client,omitempty"` // whose policies count; "": those for all clients
	Users  bool   `json:"users,omitempty"`  // each user too, not only the sums
}

// RolledOut is a report of a roll-out.
type RolledOut struct {
	At      time.Time     `json:"at"` // the time that it is about: tomorrow
	Parts   []RolloutPart `json:"parts"`
	Total   RolloutPart   `json:"total"`
	Refused int           `json:"would_be_refused"`
	Users   []RolloutUser `json:"users,omitempty"`
}

// RolloutPart counts the users of one part of the directory.
type RolloutPart struct {
	Part     string `json:"part"`
	Users    int    `json:"users"`
	Ready    int    `json:"ready"` // would be asked, and could confirm
	NoNumber int    `json:"no_number"`
	NoDevice int    `json:"no_device"`
	OldApp   int    `json:"old_app"`
	Other    int    `json:"other"`
	Exempt   int    `json:"exempt"` // of them all: let in by a rule, whatever is missing
	Refused  int    `json:"would_be_refused"`
}

// RolloutUser is one user of a report.
type RolloutUser struct {
	Username string `json:"username"`
	Part     string `json:"part"`
	Problem  string `json:"problem"` // "": none
	Rule     string `json:"rule"`    // lets in without a second factor; "": none
	Refused  bool   `json:"would_be_refused"`
}

// None is an empty answer or question.
type None struct{}

// Status is what a daemon says of itself.
type Status struct {
	Listeners map[string][]string `json:"listeners"` // addresses by key of the configuration, as they stand there
}

// Listens tells whether the daemon listens where that key says so.
func (s Status) Listens(key, addr string) bool { return slices.Contains(s.Listeners[key], addr) }
