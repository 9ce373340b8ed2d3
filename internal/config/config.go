package config

import (
	"net/netip"
	"time"

	"vssgate/internal/secret"
)

// Config is a configuration that was checked: every value is usable as it is.
type Config struct {
	Language      string        `yaml:"language"`        // vi or en: what users read, where a client says nothing else
	PlainASCII    bool          `yaml:"plain_ascii"`     // no diacritics in RADIUS and LDAP texts
	TimeZone      string        `yaml:"time_zone"`       // of the times that users read
	DataDir       string        `yaml:"data_dir"`        // embedded store and audit
	SecretKeyFile string        `yaml:"secret_key_file"` // the installation's keys, the same on all nodes
	Texts         Texts         `yaml:"texts"`
	Store         Store         `yaml:"store"`
	FirstFactors  []FirstFactor `yaml:"first_factors"`
	Throttle      Throttle      `yaml:"throttle"`
	SecondFactor  SecondFactor  `yaml:"second_factor"`
	VssID         VssID         `yaml:"vssid"`
	Push          Push          `yaml:"push"`
	RADIUS        RADIUS        `yaml:"radius"`
	LDAP          LDAP          `yaml:"ldap"`
	Admin         Admin         `yaml:"admin"`
	Metrics       Metrics       `yaml:"metrics"`
	Audit         Audit         `yaml:"audit"`
	Log           Log           `yaml:"log"`

	Location *time.Location `yaml:"-"` // of TimeZone
	Warnings []Problem      `yaml:"-"`
}

// Texts go into what users read.
type Texts struct {
	AccountURL string `yaml:"account_url"` // where a missing number is declared
	Support    string `yaml:"support"`     // added where it fits
}

// Store: left out, embedded in data_dir.
type Store struct {
	Redis *Redis `yaml:"redis"`
}

// Redis is the store of several nodes.
type Redis struct {
	Addresses  []string      `yaml:"addresses"`
	MasterName string        `yaml:"master_name"` // Sentinel
	Cluster    bool          `yaml:"cluster"`
	Username   string        `yaml:"username"`
	Password   secret.Secret `yaml:"password"`
	TLS        *ClientTLS    `yaml:"tls"`
}

// ClientTLS is how we show and verify ourselves as a client.
type ClientTLS struct {
	CAFile     string `yaml:"ca_file"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"`
}

// FirstFactor checks passwords: a directory or a file.
type FirstFactor struct {
	Name string         `yaml:"name"`
	LDAP *LDAPDirectory `yaml:"ldap"`
	File string         `yaml:"file"`
}

// LDAPDirectory is a directory as first factor.
type LDAPDirectory struct {
	Kind         string            `yaml:"kind"` // presets
	URLs         []string          `yaml:"urls"` // in order
	StartTLS     bool              `yaml:"start_tls"`
	CAFile       string            `yaml:"ca_file"`
	BindDN       string            `yaml:"bind_dn"`
	BindPassword secret.Secret     `yaml:"bind_password"`
	BaseDNs      []string          `yaml:"base_dns"`
	UserFilter   string            `yaml:"user_filter"` // {username} is always escaped
	Domains      map[string]string `yaml:"domains"`
	Attributes   Attributes        `yaml:"attributes"`
	Timeout      time.Duration     `yaml:"timeout"`
}

// Attributes name what a directory knows of a user.
type Attributes struct {
	ID          string `yaml:"id"` // immutable
	Username    string `yaml:"username"`
	DisplayName string `yaml:"display_name"`
	BHXHNumber  string `yaml:"bhxh_number"` // "": numbers are set in vssgate
	Groups      string `yaml:"groups"`
}

// Throttle bounds the wrong passwords passed to the directory, so that nobody
// is locked out there through us.
type Throttle struct {
	PerAccount int           `yaml:"per_account"`
	PerSource  int           `yaml:"per_source"`
	Within     time.Duration `yaml:"within"`
}

// SecondFactor is the policy of codes and approvals.
type SecondFactor struct {
	ValidFor     time.Duration `yaml:"valid_for"`
	CodeDigits   int           `yaml:"code_digits"`
	WrongCodes   int           `yaml:"wrong_codes"` // per login
	Lockout      Lockout       `yaml:"lockout"`     // per account
	Approval     string        `yaml:"approval"`
	NumberDigits int           `yaml:"number_digits"`
	PushLimit    PushLimit     `yaml:"push_limit"`
	Grace        time.Duration `yaml:"grace"` // late approval
}

// Lockout doubles up to a day, and stops at StopAfter until unlocked.
type Lockout struct {
	After     int           `yaml:"after"`
	For       time.Duration `yaml:"for"`
	StopAfter int           `yaml:"stop_after"`
}

// PushLimit bounds prompts that were not approved, per account.
type PushLimit struct {
	Count  int           `yaml:"count"`
	Within time.Duration `yaml:"within"`
}

// ServerTLS is a certificate of ours.
type ServerTLS struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// VssID is the phone API.
type VssID struct {
	Listen     string    `yaml:"listen"`
	PublicURL  string    `yaml:"public_url"` // what phones sign as aud
	TLS        ServerTLS `yaml:"tls"`
	MinVersion string    `yaml:"min_version"`
	Platforms  []string  `yaml:"platforms"`
	MaxDevices int       `yaml:"max_devices"` // of one person
}

// Push: left out, phones see logins when they are opened.
type Push struct {
	FCM *FCM `yaml:"fcm"`
}

// FCM is Firebase Cloud Messaging.
type FCM struct {
	CredentialsFile string `yaml:"credentials_file"`
	ProjectID       string `yaml:"project_id"`
	Endpoint        string `yaml:"endpoint"` // with /v1
	Proxy           string `yaml:"proxy"`
}

// RADIUS is the front end of NASes.
type RADIUS struct {
	Listen  []string       `yaml:"listen"`
	MaxHeld int            `yaml:"max_held"`
	Clients []RADIUSClient `yaml:"clients"`
}

// RADIUSClient is a NAS, or several with one secret.
type RADIUSClient struct {
	Name        string         `yaml:"name"`
	Addresses   []netip.Prefix `yaml:"addresses"` // the longest match wins
	Secret      secret.Secret  `yaml:"secret"`
	FirstFactor string         `yaml:"first_factor"` // "": the first one
	Mode        string         `yaml:"mode"`
	Hold        time.Duration  `yaml:"hold"`
	Then        string         `yaml:"then"`
	Separator   string         `yaml:"separator"`
	Join        string         `yaml:"join"`
	Approval    string         `yaml:"approval"`
	Language    string         `yaml:"language"`
}

// LDAP is the front end of applications.
type LDAP struct {
	Listen         []string     `yaml:"listen"`
	TLS            LDAPTLS      `yaml:"tls"`
	RequireTLS     bool         `yaml:"require_tls"`
	Upstream       Upstream     `yaml:"upstream"`
	MaxConnections int          `yaml:"max_connections"`
	ExemptBinds    []ExemptBind `yaml:"exempt_binds"`
	Clients        []LDAPClient `yaml:"clients"`
}

// LDAPTLS: the certificate also serves StartTLS.
type LDAPTLS struct {
	Listen   []string `yaml:"listen"`
	CertFile string   `yaml:"cert_file"`
	KeyFile  string   `yaml:"key_file"`
}

// Upstream is where operations go; left out, to the first factor's servers.
type Upstream struct {
	URLs     []string `yaml:"urls"`
	StartTLS bool     `yaml:"start_tls"`
	CAFile   string   `yaml:"ca_file"`
}

// ExemptBind is a service account that needs no second factor.
type ExemptBind struct {
	DN   string         `yaml:"dn"`
	From []netip.Prefix `yaml:"from"`
	Why  string         `yaml:"why"`
}

// LDAPClient is an application.
type LDAPClient struct {
	Name        string         `yaml:"name"`
	Addresses   []netip.Prefix `yaml:"addresses"`
	FirstFactor string         `yaml:"first_factor"`
	Mode        string         `yaml:"mode"`
	Hold        time.Duration  `yaml:"hold"`
	Separator   string         `yaml:"separator"`
	Approval    string         `yaml:"approval"`
	Language    string         `yaml:"language"`
}

// Admin is the socket that commands use.
type Admin struct {
	Socket string `yaml:"socket"`
	Group  string `yaml:"group"`
}

// Metrics serves /metrics, /healthz and /readyz.
type Metrics struct {
	Listen string `yaml:"listen"`
}

// Audit is the chained record of logins and changes.
type Audit struct {
	File string `yaml:"file"` // "": DATA_DIR/audit.jsonl
}

// Log goes to standard error.
type Log struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// Default is what holds where the file says nothing.
func Default() *Config {
	return &Config{
		Language: "vi", TimeZone: "Asia/Ho_Chi_Minh", DataDir: "/var/lib/vssgate", SecretKeyFile: "/etc/vssgate/secret.key",
		Texts:    Texts{AccountURL: "https://user.baohiemxahoi.gov.vn"},
		Throttle: Throttle{PerAccount: 4, PerSource: 20, Within: 10 * time.Minute},
		SecondFactor: SecondFactor{
			ValidFor: 2 * time.Minute, CodeDigits: 6, WrongCodes: 3, Lockout: Lockout{After: 5, For: 15 * time.Minute, StopAfter: 100},
			Approval: "number", NumberDigits: 2, PushLimit: PushLimit{Count: 3, Within: 10 * time.Minute}, Grace: time.Minute,
		},
		VssID:   VssID{Listen: "127.0.0.1:8080", MinVersion: "1.6.8", Platforms: []string{"ios", "android"}, MaxDevices: 5},
		RADIUS:  RADIUS{Listen: []string{"127.0.0.1:1812"}, MaxHeld: 200000},
		LDAP:    LDAP{Listen: []string{"127.0.0.1:3389"}, RequireTLS: true, MaxConnections: 9000},
		Admin:   Admin{Socket: "/run/vssgate/admin.sock"},
		Metrics: Metrics{Listen: "127.0.0.1:9290"},
		Log:     Log{Level: "info", Format: "text"},
	}
}

// Defaults of what stands in lists, or is there only when it is written.

func (r *Redis) setDefaults() { r.Addresses = []string{"127.0.0.1:6379"} }

func (l *LDAPDirectory) setDefaults() {
	l.Kind, l.UserFilter, l.Timeout = "openldap", "(uid={username})", 5*time.Second
	l.Attributes = Attributes{ID: "entryUUID", Username: "uid", DisplayName: "cn", Groups: "memberOf"}
}

func (f *FCM) setDefaults() { f.Endpoint = "https://fcm.googleapis.com/v1" }

func (c *RADIUSClient) setDefaults() {
	c.Mode, c.Then, c.Separator, c.Join = "challenge", "reject", ",", "strict"
}

func (c *LDAPClient) setDefaults() {
	c.Mode, c.Hold, c.Separator, c.Approval = "hold", 55*time.Second, ",", "simple"
}
