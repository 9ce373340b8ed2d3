package config

import (
	"net/netip"
	"time"

	"vssgate/internal/directory"
	"vssgate/internal/secret"
	"vssgate/radius/dictionary"
)

// Config is a configuration that was checked: every value is usable as it is.
// Where a comment says "default", Default or a setDefaults below gives it.
type Config struct {
	Language      string        `yaml:"language"`        // vi or en; default vi: what users read, where a client says nothing else
	PlainASCII    bool          `yaml:"plain_ascii"`     // default false; no diacritics in RADIUS and LDAP texts, for clients that show them as rubbish
	TimeZone      string        `yaml:"time_zone"`       // default Asia/Ho_Chi_Minh: users read times as on their clocks, wherever the server is
	DataDir       string        `yaml:"data_dir"`        // absolute; default /var/lib/vssgate: embedded store and audit
	SecretKeyFile string        `yaml:"secret_key_file"` // absolute; default /etc/vssgate/secret.key: the installation's keys, the same on all nodes
	Texts         Texts         `yaml:"texts"`
	Store         Store         `yaml:"store"`
	FirstFactors  []FirstFactor `yaml:"first_factors"` // at least one; no default, for passwords must be checked by somebody
	Throttle      Throttle      `yaml:"throttle"`
	SecondFactor  SecondFactor  `yaml:"second_factor"`
	VssID         VssID         `yaml:"vssid"`
	Push          Push          `yaml:"push"`
	RADIUS        RADIUS        `yaml:"radius"`
	LDAP          LDAP          `yaml:"ldap"`
	Admin         Admin         `yaml:"admin"`
	Metrics       Metrics       `yaml:"metrics"`
	Audit         Audit         `yaml:"audit"`
	Alerts        Alerts        `yaml:"alerts"`
	Log           Log           `yaml:"log"`

	Location *time.Location `yaml:"-"` // of TimeZone
	Hash     string         `yaml:"-"` // SHA-256 of the file, in hexadecimal
	Warnings []Problem      `yaml:"-"` // what works but should not stay so

	file   string           // it was read from
	places map[string]place // of what is written there
}

// Texts go into what users read.
type Texts struct {
	AccountURL string `yaml:"account_url"` // default the page where a missing number is declared
	Support    string `yaml:"support"`     // default none; like "IT: 1900 1234", added where it fits
}

// Store says where open logins, accounts and devices are kept. Left out, the
// store is embedded, in data_dir: nothing else to install, one node.
type Store struct {
	Redis *Redis `yaml:"redis"` // nil: embedded
}

// Redis is the store of several nodes.
type Redis struct {
	Addresses  []string      `yaml:"addresses"`   // HOST:PORT; default this machine's; several with Sentinel or Cluster
	MasterName string        `yaml:"master_name"` // as the Sentinels call it; default none: no Sentinel
	Cluster    bool          `yaml:"cluster"`     // default false
	Username   string        `yaml:"username"`    // default none: Redis' default user
	Password   secret.Secret `yaml:"password"`    // default none
	TLS        *ClientTLS    `yaml:"tls"`         // nil: none, which is warned of beyond this machine
}

// ClientTLS is how we show and verify ourselves as a client.
type ClientTLS struct {
	CAFile     string `yaml:"ca_file"`     // default none: the system's authorities
	CertFile   string `yaml:"cert_file"`   // default none: we show no certificate
	KeyFile    string `yaml:"key_file"`    // of cert_file
	ServerName string `yaml:"server_name"` // default none: the name we connect to
}

// FirstFactor checks passwords: exactly one of a directory, RADIUS servers and
// a file.
type FirstFactor struct {
	Name   string         `yaml:"name"` // clients choose by it
	LDAP   *LDAPDirectory `yaml:"ldap"`
	RADIUS *RADIUSServers `yaml:"radius"`
	File   string         `yaml:"file"` // absolute; users with their password hashes, for trials and emergencies
}

// RADIUSServers are upstream RADIUS servers as first factor. CHAP, MS-CHAP and
// EAP pass through to them.
type RADIUSServers struct {
	Servers        []RADIUSServer `yaml:"servers"`         // in order; one that does not answer is passed over and tried again later
	IdentifyWith   string         `yaml:"identify_with"`   // the first factor that says who users are: id, groups and number
	PassAttributes Words          `yaml:"pass_attributes"` // all, none, or names; default all: what the upstream grants is the NAS's business
	Timeout        time.Duration  `yaml:"timeout"`         // default 5s: less than a NAS waits, for one round over all servers
}

// RADIUSServer is one of them.
type RADIUSServer struct {
	Address string        `yaml:"address"` // HOST:PORT
	Secret  secret.Secret `yaml:"secret"`  // with tls default radsec (RFC 6614), the same for all
	TLS     *ClientTLS    `yaml:"tls"`     // nil: over UDP
}

// Words are a list of words, or one.
type Words []string

// LDAPDirectory is a directory as first factor.
type LDAPDirectory struct {
	Kind         string            `yaml:"kind"`          // openldap or ad: presets of user_filter and attributes, and how names and groups are looked up; default openldap
	URLs         []string          `yaml:"urls"`          // in order; a dead one is passed over and tried again later
	StartTLS     bool              `yaml:"start_tls"`     // default false; on ldap:// only
	CAFile       string            `yaml:"ca_file"`       // default none: the system's authorities
	BindDN       string            `yaml:"bind_dn"`       // the account that finds users; default none: anonymous
	BindPassword secret.Secret     `yaml:"bind_password"` // of bind_dn
	BaseDNs      []string          `yaml:"base_dns"`      // where users are
	UserFilter   string            `yaml:"user_filter"`   // default (uid={username}); {username} is always escaped
	Domains      map[string]string `yaml:"domains"`       // default none; what DOMAIN\user and user@domain stand for
	NestedGroups bool              `yaml:"nested_groups"` // default false; groups of groups too, for one or two more searches for each right password
	Attributes   Attributes        `yaml:"attributes"`
	Timeout      time.Duration     `yaml:"timeout"` // default 5s: less than a NAS waits, for the whole of a check over all servers
}

// ActiveDirectory is the kind of a directory with presets of its own.
const ActiveDirectory = "ad"

// Attributes name what a directory knows of a user.
type Attributes struct {
	ID          string `yaml:"id"`           // default entryUUID: must never change, for everything is filed under it
	Username    string `yaml:"username"`     // default uid
	DisplayName string `yaml:"display_name"` // default cn
	BHXHNumber  string `yaml:"bhxh_number"`  // default none: numbers are set in vssgate
	Kind        string `yaml:"kind"`         // person or organisation; default none: vssgate account set --organisation says it
	Custodian   string `yaml:"custodian"`    // an organisation's officer's number; default none; must agree with vssgate account assign
	Groups      string `yaml:"groups"`       // default memberOf
}

// Throttle bounds the wrong passwords passed to the directory, so that nobody
// is locked out there through us.
type Throttle struct {
	PerAccount int           `yaml:"per_account"` // default 4: below the five at which directories commonly lock
	PerSource  int           `yaml:"per_source"`  // default 20: many people share the address of one office
	Within     time.Duration `yaml:"within"`      // default 10m
}

// SecondFactor is the policy of codes and approvals.
type SecondFactor struct {
	ValidFor     time.Duration `yaml:"valid_for"`   // default 2m, as long as VssID's codes are to be valid; at most 10m
	CodeDigits   int           `yaml:"code_digits"` // 6 to 8; default 6
	WrongCodes   int           `yaml:"wrong_codes"` // of one login; default 3
	Lockout      Lockout       `yaml:"lockout"`
	Approval     string        `yaml:"approval"`      // number, simple or off; default number, which nobody can approve by habit
	NumberDigits int           `yaml:"number_digits"` // 2 to 6; default 2, easily remembered from one screen to the other
	PushLimit    PushLimit     `yaml:"push_limit"`
	Grace        time.Duration `yaml:"grace"`    // default 60s: an approval that came when nobody waited can be collected so long
	Factors      []string      `yaml:"factors"`  // of approve, code, totp, recovery and help; default approve and code: the others need no phone
	Policies     []Policy      `yaml:"policies"` // the first that matches decides; default none: the second factor is always needed
}

// Policy says for whom, from where and from when on the second factor is needed.
type Policy struct {
	Match   Match    `yaml:"match"`   // all that is given must hold; {} is everybody
	Require string   `yaml:"require"` // always, from (date), if_device or never (until); default always
	Date    string   `yaml:"date"`    // require: from: the first day, or a time
	Until   string   `yaml:"until"`   // require: never: the last day, or a time
	Factors []string `yaml:"factors"` // default second_factor.factors
	Why     string   `yaml:"why"`     // required with never; for those who read this later

	At time.Time // Date or Until
}

// Match is whom a policy is for. A list matches when one of it does.
type Match struct {
	Group   Words `yaml:"group"`   // DN; in a file of users, a name
	Under   Words `yaml:"under"`   // DN of a part of the directory
	Client  Words `yaml:"client"`  // name of a RADIUS or LDAP client
	Network Words `yaml:"network"` // where the user is: Calling-Station-Id; LDAP: the application

	Networks []netip.Prefix // Network
}

// Lockout bounds an account's wrong codes and numbers across logins, clients
// and nodes.
type Lockout struct {
	After     int           `yaml:"after"`      // wrong codes; default 5
	For       time.Duration `yaml:"for"`        // default 15m; doubles each time, up to 24h
	StopAfter int           `yaml:"stop_after"` // default 100 without success: then until `vssgate account unlock`
}

// PushLimit bounds prompts that were not approved, per account: past it phones
// are not disturbed, but the login still waits for who looks.
type PushLimit struct {
	Count  int           `yaml:"count"`  // default 3
	Within time.Duration `yaml:"within"` // default 10m
}

// ServerTLS is a certificate of ours, with its key; both or neither.
type ServerTLS struct {
	CertFile string `yaml:"cert_file"` // absolute; default none
	KeyFile  string `yaml:"key_file"`
}

// VssID is the phone API.
type VssID struct {
	Listen     string    `yaml:"listen"`      // ADDRESS:PORT; default 127.0.0.1:8080, for a proxy in front
	PublicURL  string    `yaml:"public_url"`  // what phones sign as aud; default where it listens, if that is this machine
	TLS        ServerTLS `yaml:"tls"`         // default none: plain HTTP
	MinVersion string    `yaml:"min_version"` // default 1.6.8, the first VssID that shows codes
	Platforms  []string  `yaml:"platforms"`   // of ios, android and web; default the first two
	MaxDevices int       `yaml:"max_devices"` // of one person; default 5

	BackendTokens []BackendToken `yaml:"backend_tokens"` // VssID's own servers; default none
}

// BackendToken lets a server of VssID's act for people whom it has signed in.
type BackendToken struct {
	Name       string         `yaml:"name"`        // stands in the audit
	TokenFiles []string       `yaml:"token_files"` // one token each; all that are there count, and are read again
	Addresses  []netip.Prefix `yaml:"addresses"`   // where it asks from; default anywhere, which is warned of
	May        []string       `yaml:"may"`         // of devices, show and answer; default nothing
}

// Push says how phones are told. Left out, they see logins when VssID is opened.
type Push struct {
	FCM     *FCM     `yaml:"fcm"`     // or
	Webhook *Webhook `yaml:"webhook"` // both nil: nothing is pushed
}

// FCM is Firebase Cloud Messaging.
type FCM struct {
	CredentialsFile string `yaml:"credentials_file"` // absolute; the service account's key file
	ProjectID       string `yaml:"project_id"`       // default the one in credentials_file
	Endpoint        string `yaml:"endpoint"`         // with /v1; default Google's
	Proxy           string `yaml:"proxy"`            // URL; default none
}

// Webhook is VssID's own push service.
type Webhook struct {
	URL    string        `yaml:"url"`     // https://; http:// on this machine only
	Token  secret.Secret `yaml:"token"`   // sent as bearer; default none
	CAFile string        `yaml:"ca_file"` // absolute; default the system's authorities
}

// RADIUS is the front end of NASes.
type RADIUS struct {
	Listen  []string       `yaml:"listen"` // ADDRESS:PORT; default 127.0.0.1:1812, so that nothing is open by accident
	TLS     RADIUSTLS      `yaml:"tls"`
	MaxHeld int            `yaml:"max_held"` // requests waiting for an answer; default 200000; more stay unanswered, so that the NAS asks elsewhere
	Clients []RADIUSClient `yaml:"clients"`

	Accounting Accounting `yaml:"accounting"`
}

// Accounting is what NASes tell of sessions, from the same clients with the same
// secrets. Left out: it is not taken.
type Accounting struct {
	Listen  []string  `yaml:"listen"`  // ADDRESS:PORT; default none; the usual port is 1813
	File    string    `yaml:"file"`    // absolute; default accounting.jsonl in data_dir where nothing is forwarded, else none; kept as long as audit.keep
	Forward []Forward `yaml:"forward"` // default none; each record goes to all, one of them must have taken it before the NAS is answered
}

// On tells whether accounting is taken at all.
func (a Accounting) On() bool { return len(a.Listen) > 0 || a.File != "" || len(a.Forward) > 0 }

// Forward is a server that accounting is sent on to.
type Forward struct {
	Address string        `yaml:"address"` // HOST:PORT
	Secret  secret.Secret `yaml:"secret"`
}

// RADIUSTLS is RADIUS over TLS, where both sides show certificates.
type RADIUSTLS struct {
	Listen   []string `yaml:"listen"` // ADDRESS:PORT; default none; the usual port is 2083
	CertFile string   `yaml:"cert_file"`
	KeyFile  string   `yaml:"key_file"`
	CAFile   string   `yaml:"ca_file"` // who issues the clients' certificates; no default: the system's authorities issue to anybody
}

// RADIUSClient is a NAS, or several with one secret.
type RADIUSClient struct {
	Name      string         `yaml:"name"`      // in the audit and on the phones
	Addresses []netip.Prefix `yaml:"addresses"` // the longest match wins; with certificate_names default none: it comes from anywhere
	Secret    secret.Secret  `yaml:"secret"`    // with certificate_names default none: the client comes over TLS only

	// CertificateNames are those by which the client is known over TLS: DNS names
	// and addresses of its certificate. Default none: it comes over UDP only.
	CertificateNames []string `yaml:"certificate_names"`

	// PreviousSecret is still accepted until PreviousUntil, while NASes are
	// given the new one; default none.
	PreviousSecret secret.Secret `yaml:"previous_secret"`
	PreviousUntil  string        `yaml:"previous_until"` // a day, to its end, or a time like 2027-01-31T18:00:00+07:00; no default

	// RequireMessageAuthenticator is auto, yes or no; default auto: requests
	// without it are served until their NAS is known to send it, and never with
	// Proxy-State.
	RequireMessageAuthenticator   string `yaml:"require_message_authenticator"`
	MessageAuthenticatorInReplies bool   `yaml:"message_authenticator_in_replies"` // default true; false for a NAS that drops replies with it

	FirstFactor string        `yaml:"first_factor"` // default the first one
	NAS         string        `yaml:"nas"`          // a kind of NAS: its presets are the defaults of the keys below; default none
	Mode        string        `yaml:"mode"`         // challenge, hold or append; default challenge, the only one that can show a number
	Hold        time.Duration `yaml:"hold"`         // default 5s in mode challenge; 55s in mode hold, below what a NAS waits
	Then        string        `yaml:"then"`         // reject or challenge, when hold ends; default reject
	Separator   string        `yaml:"separator"`    // between password and code; default ","; "": the last digits are the code
	Join        string        `yaml:"join"`         // strict or user; default strict: a login joins only from its own station
	Approval    string        `yaml:"approval"`     // default second_factor.approval, in mode challenge only
	Language    string        `yaml:"language"`     // default the general one
	Remember    time.Duration `yaml:"remember"`     // from a confirmation on no second factor again for account, password and Calling-Station-Id; at most 24h; default 0s: never
	Observe     Observe       `yaml:"observe"`      // default none
	Reply       []Reply       `yaml:"reply"`        // what an Access-Accept carries besides, in order, all that match; default nothing

	PreviousExpires time.Time `yaml:"-"` // of PreviousUntil
	SecretFile      string    `yaml:"-"` // where Secret was read; "": it is written in the file
}

// Reply is attributes for the users of a group.
type Reply struct {
	Group      string           `yaml:"group"`      // DN, or the value of its first RDN; default everybody
	Attributes []dictionary.AVP `yaml:"attributes"` // by name, or NAME:TAG; a list of values is several attributes

	In directory.Group `yaml:"-"` // of Group
}

// Observe is a time of trial for a NAS that is being moved over: the password
// alone lets in, and the audit says what would have been.
type Observe struct {
	Until string `yaml:"until"` // a day, to its end, or a time like 2027-01-31T18:00:00+07:00; no default
	Why   string `yaml:"why"`   // no default

	Ends time.Time `yaml:"-"` // of Until
}

// LDAP is the front end of applications.
type LDAP struct {
	Listen         []string     `yaml:"listen"` // ADDRESS:PORT; default 127.0.0.1:3389
	TLS            LDAPTLS      `yaml:"tls"`
	RequireTLS     bool         `yaml:"require_tls"` // default true: a password on a plain connection is refused
	Upstream       Upstream     `yaml:"upstream"`
	MaxConnections int          `yaml:"max_connections"` // default 9000: two descriptors each, below a daemon's usual limit
	ExemptBinds    []ExemptBind `yaml:"exempt_binds"`    // default none
	Clients        []LDAPClient `yaml:"clients"`
}

// LDAPTLS is LDAP over TLS; the certificate also serves StartTLS.
type LDAPTLS struct {
	Listen   []string `yaml:"listen"` // ADDRESS:PORT; default none
	CertFile string   `yaml:"cert_file"`
	KeyFile  string   `yaml:"key_file"`
}

// Upstream is where operations go.
type Upstream struct {
	URLs     []string `yaml:"urls"` // default those of the first factor
	StartTLS bool     `yaml:"start_tls"`
	CAFile   string   `yaml:"ca_file"`
}

// ExemptBind is a service account that needs no second factor.
type ExemptBind struct {
	DN   string         `yaml:"dn"`
	From []netip.Prefix `yaml:"from"` // default every client, which is warned of
	Why  string         `yaml:"why"`  // goes into the audit
}

// LDAPClient is an application.
type LDAPClient struct {
	Name        string         `yaml:"name"`
	Addresses   []netip.Prefix `yaml:"addresses"` // the longest match wins; outside all of them connections are closed
	FirstFactor string         `yaml:"first_factor"`
	Mode        string         `yaml:"mode"`      // hold or append; default hold
	Hold        time.Duration  `yaml:"hold"`      // default 55s, below what an application waits
	Separator   string         `yaml:"separator"` // default ","
	Approval    string         `yaml:"approval"`  // simple or off; default simple: LDAP cannot show a number
	Remember    time.Duration  `yaml:"remember"`  // from a confirmation on no second factor again for address, user and password; at most 24h; default 0s: never
	Language    string         `yaml:"language"`
}

// Admin is the socket that commands use.
type Admin struct {
	Socket string `yaml:"socket"` // absolute; default /run/vssgate/admin.sock
	Group  string `yaml:"group"`  // may use it too; default none: root and our own user only
}

// Metrics serves /metrics, /healthz and /readyz.
type Metrics struct {
	Listen string `yaml:"listen"` // ADDRESS:PORT; default 127.0.0.1:9290
}

// Audit is the chained record of logins and changes.
type Audit struct {
	File   string        `yaml:"file"` // absolute; default audit.jsonl in data_dir; each day's is set aside beside it
	Keep   time.Duration `yaml:"keep"` // of files that were set aside; default 8760h, the 12 months that the law wants of personal data's history
	Syslog Syslog        `yaml:"syslog"`
}

// Syslog is a server that gets a copy of every audit record.
type Syslog struct {
	Address string `yaml:"address"` // HOST:PORT, or tcp://HOST:PORT; default none. Without TLS and tcp:// it is UDP
	TLS     bool   `yaml:"tls"`     // RFC 5425; default false
	Network string // udp or tcp, cut off address
}

// Alerts are what somebody must hear of at once.
type Alerts struct {
	Webhook string `yaml:"webhook"` // URL that gets them as JSON by POST; default none: they are in the log
}

// Log goes to standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error; default info
	Format string `yaml:"format"` // text or json; default text
}

// Default is what holds where the file says nothing. It is safe: it listens on
// this machine only, and lets nobody in.
func Default() *Config {
	return &Config{
		Language: "vi", TimeZone: "Asia/Ho_Chi_Minh", DataDir: "/var/lib/vssgate", SecretKeyFile: "/etc/vssgate/secret.key",
		Texts:    Texts{AccountURL: "https://user.baohiemxahoi.gov.vn"},
		Throttle: Throttle{PerAccount: 4, PerSource: 20, Within: 10 * time.Minute},
		SecondFactor: SecondFactor{
			ValidFor: 2 * time.Minute, CodeDigits: 6, WrongCodes: 3, Lockout: Lockout{After: 5, For: 15 * time.Minute, StopAfter: 100},
			Approval: "number", NumberDigits: 2, PushLimit: PushLimit{Count: 3, Within: 10 * time.Minute}, Grace: time.Minute,
			Factors: []string{"approve", "code"},
		},
		VssID:   VssID{Listen: "127.0.0.1:8080", MinVersion: "1.6.8", Platforms: []string{"ios", "android"}, MaxDevices: 5},
		RADIUS:  RADIUS{Listen: []string{"127.0.0.1:1812"}, MaxHeld: 200000},
		LDAP:    LDAP{Listen: []string{"127.0.0.1:3389"}, RequireTLS: true, MaxConnections: 9000},
		Admin:   Admin{Socket: "/run/vssgate/admin.sock"},
		Metrics: Metrics{Listen: "127.0.0.1:9290"},
		Audit:   Audit{Keep: 8760 * time.Hour},
		Log:     Log{Level: "info", Format: "text"},
	}
}

// unset is a hold that is not written: its default depends on the mode.
const unset = -1

func (r *Redis) setDefaults() { r.Addresses = []string{"127.0.0.1:6379"} }

func (p *Policy) setDefaults() { p.Require = "always" }

func (l *LDAPDirectory) setDefaults() {
	l.Kind, l.UserFilter, l.Timeout = "openldap", "(uid={username})", 5*time.Second
	l.Attributes = Attributes{ID: "entryUUID", Username: "uid", DisplayName: "cn", Groups: "memberOf"}
}

func (r *RADIUSServers) setDefaults() {
	r.PassAttributes, r.Timeout = Words{"all"}, 5*time.Second
}

func (f *FCM) setDefaults() { f.Endpoint = "https://fcm.googleapis.com/v1" }

func (c *RADIUSClient) setDefaults() {
	c.Mode, c.Hold, c.Then, c.Separator, c.Join = "challenge", unset, "reject", ",", "strict"
	c.RequireMessageAuthenticator, c.MessageAuthenticatorInReplies = "auto", true
}

func (c *LDAPClient) setDefaults() {
	c.Mode, c.Hold, c.Separator, c.Approval = "hold", unset, ",", "simple"
}
