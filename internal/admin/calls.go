package admin

import "time"

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
	BHXHNumber  string     `json:"bhxh_number,omitempty"`
	PersonalID  string     `json:"personal_id,omitempty"`
	Problem     string     `json:"problem,omitempty"` // why it could not log in now
	Locked      bool       `json:"locked"`
	LockedUntil *time.Time `json:"locked_until,omitempty"`
	Devices     []Device   `json:"devices"`
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

// None is an empty answer or question.
type None struct{}
