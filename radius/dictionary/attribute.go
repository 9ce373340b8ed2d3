package dictionary

import (
	"embed"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"

	"layeh.com/radius/dictionary"
	"layeh.com/radius/rfc2865"
)

// An Attribute is what is known of one.
type Attribute struct {
	Name   string // as RFC or vendor write it
	Vendor uint32 // SMI enterprise number; 0: an attribute of the RFCs
	Type   byte   // within the vendor's, if there is one
	Hidden bool   // its value is sent encrypted under the shared secret

	kind   dictionary.AttributeType
	size   int               // octets: how many; 0: any number
	tagged bool              // RFC 2868
	values map[string]uint32 // of an integer, by name in lower case
	shown  []string          // the same names, for people
}

// Lookup finds an attribute by name, in any case; nil: none is called so.
func Lookup(name string) *Attribute {
	if a := all().byName[strings.ToLower(name)]; a != nil {
		return a
	}
	return numbered(name)
}

// ByNumber finds an attribute by its numbers; nil: it is not in the files.
func ByNumber(vendor uint32, kind byte) *Attribute { return all().byNumber[number{vendor, kind}] }

// Names are the names of all attributes that a reply may be given, in order.
func Names() []string { return all().names }

type number struct {
	vendor uint32
	kind   byte
}

type table struct {
	byName   map[string]*Attribute
	byNumber map[number]*Attribute
	names    []string
}

//go:embed *.dict
var files embed.FS

var all = sync.OnceValue(load)

// load reads the files. They are ours: what is wrong in them is found by any
// test, and by nobody else.
func load() *table {
	t := &table{byName: map[string]*Attribute{}, byNumber: map[number]*Attribute{}}
	paths, err := fs.Glob(files, "*.dict")
	check(err)
	for _, path := range paths {
		f, err := files.Open(path)
		check(err)
		d, err := new(dictionary.Parser).Parse(opened{f, path})
		check(err)
		t.add(0, d.Attributes, d.Values)
		for _, v := range d.Vendors {
			t.add(uint32(v.Number), v.Attributes, v.Values)
		}
	}
	for _, a := range t.byName {
		if a.refused() == "" {
			t.names = append(t.names, a.Name)
		}
	}
	slices.Sort(t.names)
	return t
}

func check(err error) {
	if err != nil {
		panic("radius/dictionary: " + err.Error())
	}
}

// opened is a file that knows its name, which the parser wants for its errors.
type opened struct {
	io.ReadCloser
	name string
}

func (n opened) Name() string { return n.name }

func (t *table) add(vendor uint32, attributes []*dictionary.Attribute, values []*dictionary.Value) {
	for _, from := range attributes {
		a := &Attribute{
			Name: from.Name, Vendor: vendor, Type: byte(from.OID[0]), Hidden: from.FlagEncrypt.Valid,
			kind: from.Type, size: from.Size.Int, tagged: from.HasTag(),
		}
		t.byName[strings.ToLower(a.Name)], t.byNumber[number{vendor, a.Type}] = a, a
	}
	for _, v := range values {
		a := t.byName[strings.ToLower(v.Attribute)]
		if a.values == nil {
			a.values = map[string]uint32{}
		}
		a.values[strings.ToLower(v.Name)] = uint32(v.Number)
		a.shown = append(a.shown, v.Name)
	}
}

// numbered is an attribute by number, for what is not in the files: `Attr-N`,
// or `Attr-26.VENDOR.N`. One that is in them keeps its type.
func numbered(name string) *Attribute {
	rest, ok := strings.CutPrefix(strings.ToLower(name), "attr-")
	if !ok {
		return nil
	}
	vendor := uint64(0)
	if own, ok := strings.CutPrefix(rest, vendorSpecific); ok {
		digits, after, _ := strings.Cut(own, ".")
		v, err := strconv.ParseUint(digits, 10, 24)
		if err != nil || v == 0 {
			return nil
		}
		vendor, rest = v, after
	}
	n, err := strconv.ParseUint(rest, 10, 8)
	if err != nil || n == 0 || vendor == 0 && (n == uint64(rfc2865.VendorSpecific_Type) || n > lastPlain) {
		return nil
	}
	if a := ByNumber(uint32(vendor), byte(n)); a != nil {
		return a
	}
	return &Attribute{Name: name, Vendor: uint32(vendor), Type: byte(n), kind: dictionary.AttributeOctets}
}

const (
	vendorSpecific = "26."
	lastPlain      = 240 // beyond, an attribute has a form of its own (RFC 6929)
)
