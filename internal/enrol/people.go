package enrol

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"vssgate/internal/login"
	"vssgate/otp"
)

// Options are what the configuration says about devices.
type Options struct {
	MinVersion string   // oldest VssID that is asked, like 1.6.8
	Platforms  []string // of ios, android and web: those that are asked
	MaxDevices int      // of one person
	PublicURL  string   // of the phone API, for the QR code
}

// ActivationFor is how long an activation code may be used.
const ActivationFor = 10 * time.Minute

// Platforms are all there are.
var Platforms = []string{"ios", "android", "web"}

// Errors that a caller tells apart. Everything else means that the store could
// not be asked.
var (
	ErrNotFound   = errors.New("not found")
	ErrNumber     = errors.New("want 10 digits (social insurance) or 12 digits (personal identification)")
	ErrTwoPersons = errors.New("the two numbers belong to different persons")
	ErrNoNumber   = errors.New("the account has no usable number yet")
	ErrActivation = errors.New("activation code unknown, used or expired")
	ErrTries      = errors.New("too many wrong activation codes for this user")
	ErrTooMany    = errors.New("this device has made enough activations for a while")
	ErrFull       = errors.New("the person has as many devices as are allowed")
	ErrKeyInUse   = errors.New("this key is enrolled already")
	ErrRevoked    = errors.New("this device was revoked")
	ErrPlatform   = errors.New("platform not allowed")
	ErrOldApp     = errors.New("VssID is too old")

	ErrKind            = errors.New("want person or organisation")
	ErrOrganisation    = errors.New("an organisation's account has no number of its own: assign it to its custodian")
	ErrNotOrganisation = errors.New("a person's account has no custodian")
	ErrDocument        = errors.New("want the reference and the date of the written assignment")
	ErrPeriod          = errors.New("the assignment ends before it begins")
)

// People implements login.People on a login.Store. Safe for concurrent use,
// here and on other nodes with the same store.
type People struct {
	store   login.Store
	keys    *otp.Keys
	options atomic.Pointer[Options]
	revoked revoked
}

var _ login.People = (*People)(nil)

// New makes a People.
func New(store login.Store, keys *otp.Keys, o Options) (*People, error) {
	p := &People{store: store, keys: keys}
	return p, p.Configure(o)
}

// Configure replaces the options, for all that is asked from now on.
func (p *People) Configure(o Options) error {
	if _, ok := parseVersion(o.MinVersion); !ok {
		return fmt.Errorf("min_version %q: want numbers between dots", o.MinVersion)
	}
	for _, name := range o.Platforms {
		if !slices.Contains(Platforms, name) {
			return fmt.Errorf("platform %q: want one of %s", name, strings.Join(Platforms, ", "))
		}
	}
	if o.MaxDevices < 1 {
		return fmt.Errorf("max_devices %d: want at least 1", o.MaxDevices)
	}
	o.PublicURL = strings.TrimRight(o.PublicURL, "/")
	p.options.Store(&o)
	return nil
}

// MinVersion is the oldest VssID that is asked.
func (p *People) MinVersion() string { return p.options.Load().MinVersion }
