package login

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// An attempt is kept as one byte that names the form, and then its fields: for
// each a byte that says which, the length of the value, and the value. Fields
// come in ascending order, a list as the same field again and again; what is
// zero is left out. 100,000 attempts may be open, and each is read and written
// several times: this takes a third of the room of JSON and a tenth of the time.
//
// Nodes of two versions may share a store, one after the other changing the same
// login. What a newer version has added at the end, of the attempt or of a part of
// it, is kept as it came and written back; a field's number and meaning never
// change. A field that a node must not act without knowing needs another form: one
// that it does not know is an error, and then it leaves the login to others.
const attemptForm = 1

var (
	errForm   = errors.New("written by a newer version of vssgate")
	errFields = errors.New("damaged attempt")
)

// encode is the attempt as it is kept, before it is sealed. Its ID is not in it:
// the record's key says it.
func (a *Attempt) encode() []byte {
	f := fields{b: append(make([]byte, 0, 512), attemptForm)}
	a.visit(&f)
	return f.b
}

// decodeAttempt reads what encode wrote, here or by another version.
func decodeAttempt(b []byte) (a Attempt, err error) {
	if len(b) == 0 || b[0] != attemptForm {
		return a, errForm
	}
	f := fields{b: b[1:], reading: true}
	a.visit(&f)
	return a, f.err
}

// visit names every field that is kept. The numbers must ascend.
func (a *Attempt) visit(f *fields) {
	text(f, 1, &a.FrontEnd)
	text(f, 2, &a.Client)
	text(f, 3, &a.Approval)
	text(f, 4, &a.NAS)
	text(f, 5, &a.Station)
	a.visitFrom(f)
	text(f, 7, &a.Typed)
	text(f, 8, &a.Secret)
	text(f, 9, &a.Scope)
	flag(f, 10, &a.Placed)
	f.group(11, a.Who.visit)
	text(f, 12, &a.Person)
	instant(f, 13, &a.Created)
	instant(f, 14, &a.Deadline)
	groups(f, 15, &a.Chains, (*Chain).visit)
	number(f, 16, &a.Requests)
	number(f, 17, &a.Counted)
	number(f, 18, &a.Wrong)
	number(f, 19, &a.CodesSeen)
	flag(f, 20, &a.Prompted)
	number(f, 21, &a.Pushes)
	flag(f, 22, &a.Waiting)
	number(f, 23, &a.Notify)
	flag(f, 24, &a.Number)
	flag(f, 25, &a.Simple)
	flag(f, 26, &a.Several)
	optional(f, 27, &a.Answer, (*Given).visit)
	optional(f, 28, &a.Verdict, (*Verdict).visit)
	flag(f, 29, &a.Owed)
	flag(f, 30, &a.Proof)
	number(f, 31, &a.Factors)
	number(f, 32, &a.Phoneless)
	text(f, 33, &a.Lasting)
	f.rest(&a.newer)
}

// visitFrom leaves out an origin that is the station, as most are.
func (a *Attempt) visitFrom(f *fields) {
	from := a.From
	if from == a.Station {
		from = ""
	}
	if text(f, 6, &from); from == "" {
		from = a.Station
	}
	a.From = from
}

func (id *Identity) visit(f *fields) {
	text(f, 1, &id.ID)
	text(f, 2, &id.DN)
	text(f, 3, &id.Username)
	text(f, 4, &id.DisplayName)
	names(f, 5, &id.Groups)
	text(f, 6, &id.Number)
	text(f, 7, &id.Kind)
	text(f, 8, &id.Custodian)
	f.rest(&id.newer)
}

func (c *Chain) visit(f *fields) {
	text(f, 1, &c.Number)
	text(f, 2, &c.Newest)
	instant(f, 3, &c.Until)
	text(f, 4, &c.State)
	text(f, 5, &c.Used)
	text(f, 6, &c.Said)
	instant(f, 7, &c.SaidAt)
	flag(f, 8, &c.SaidWrong)
	text(f, 9, &c.Keep)
	text(f, 10, &c.KeepOf)
	f.rest(&c.newer)
}

func (g *Given) visit(f *fields) {
	text(f, 1, &g.Kind)
	number(f, 2, &g.Chain)
	text(f, 3, &g.Number)
	instant(f, 4, &g.At)
	text(f, 5, &g.Device)
	text(f, 6, &g.Presence)
	text(f, 7, &g.Signed)
	f.rest(&g.newer)
}

func (v *Verdict) visit(f *fields) {
	text(f, 1, &v.Reason)
	text(f, 2, &v.Factor)
	instant(f, 3, &v.At)
	text(f, 4, &v.LetIn)
	text(f, 5, &v.Keep)
	f.rest(&v.newer)
}

// fields are written to b, or read from it: one list of them serves both ways.
type fields struct {
	b       []byte
	reading bool
	last    byte // the field read last: they ascend
	err     error
}

// write appends field n.
func (f *fields) write(n byte, value []byte) {
	f.b = binary.AppendUvarint(append(f.b, n), uint64(len(value)))
	f.b = append(f.b, value...)
}

// read takes field n, if it comes next, and passes over those before it.
func (f *fields) read(n byte) (value []byte, there bool) {
	for f.err == nil && len(f.b) > 0 && f.b[0] <= n {
		size, used := binary.Uvarint(f.b[1:])
		if used <= 0 || size > uint64(len(f.b)-1-used) || f.b[0] < f.last {
			f.err = errFields
			break
		}
		number, rest := f.b[0], f.b[1+used:]
		f.last = number
		value, f.b = rest[:size:size], rest[size:]
		if number == n {
			return value, true
		}
	}
	return nil, false
}

// nest appends field n, whose value is fields itself.
func (f *fields) nest(n byte, visit func(*fields)) {
	at := len(f.b) + 2 // behind a length of one byte, as most are
	in := fields{b: append(f.b, n, 0)}
	visit(&in)
	size := binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64), uint64(len(in.b)-at))
	in.b[at-1] = size[0]
	f.b = slices.Insert(in.b, at, size[1:]...)
}

// look reads such a value.
func (f *fields) look(value []byte, visit func(*fields)) {
	in := fields{b: value, reading: true}
	visit(&in)
	if in.err != nil {
		f.err = in.err
	}
}

// rest is what comes behind the fields that this version knows: those of a newer
// one. It ends a visit.
func (f *fields) rest(newer *[]byte) {
	if !f.reading {
		f.b = append(f.b, *newer...)
		return
	}
	all := f.b
	if len(all) > 0 && all[0] == f.last { // one of ours, twice
		f.err = errFields
	}
	for there := true; there; { // they have to be in order too
		_, there = f.read(lastField)
	}
	if len(all) > 0 {
		*newer = all
	}
}

const lastField = 255

// group is one value of fields, always there.
func (f *fields) group(n byte, visit func(*fields)) {
	if !f.reading {
		f.nest(n, visit)
	} else if value, there := f.read(n); there {
		f.look(value, visit)
	}
}

// optional is a group, or nil.
func optional[T any](f *fields, n byte, v **T, visit func(*T, *fields)) {
	if !f.reading {
		if *v != nil {
			f.nest(n, func(in *fields) { visit(*v, in) })
		}
	} else if value, there := f.read(n); there {
		*v = new(T)
		f.look(value, func(in *fields) { visit(*v, in) })
	}
}

// groups are any number of them.
func groups[T any](f *fields, n byte, all *[]T, visit func(*T, *fields)) {
	if !f.reading {
		for i := range *all {
			f.nest(n, func(in *fields) { visit(&(*all)[i], in) })
		}
		return
	}
	for value, there := f.read(n); there; value, there = f.read(n) {
		var v T
		f.look(value, func(in *fields) { visit(&v, in) })
		*all = append(*all, v)
	}
}

// names are any number of strings.
func names(f *fields, n byte, all *[]string) {
	if !f.reading {
		for _, name := range *all {
			f.write(n, []byte(name))
		}
		return
	}
	for value, there := f.read(n); there; value, there = f.read(n) {
		*all = append(*all, string(value))
	}
}

// text is a string, or bytes.
func text[T ~string | ~[]byte](f *fields, n byte, v *T) {
	if !f.reading {
		if len(*v) > 0 {
			f.write(n, []byte(*v))
		}
	} else if value, there := f.read(n); there && len(value) > 0 {
		*v = T(value)
	}
}

// number is an integer.
func number[T ~int | ~uint8 | ~uint64](f *fields, n byte, v *T) {
	if !f.reading {
		if *v != 0 {
			f.write(n, binary.AppendVarint(make([]byte, 0, binary.MaxVarintLen64), int64(*v)))
		}
	} else if value, there := f.read(n); there {
		x, used := binary.Varint(value)
		if *v = T(x); used != len(value) || int64(*v) != x {
			f.err = errFields
		}
	}
}

// flag is there, with no value, when it is true.
func flag(f *fields, n byte, v *bool) {
	if f.reading {
		_, *v = f.read(n)
	} else if *v {
		f.write(n, nil)
	}
}

// instant is in nanoseconds since 1970.
func instant(f *fields, n byte, v *time.Time) {
	if !f.reading {
		if !v.IsZero() {
			f.write(n, binary.BigEndian.AppendUint64(make([]byte, 0, 8), uint64(v.UnixNano())))
		}
	} else if value, there := f.read(n); there {
		if len(value) != 8 {
			f.err = errFields
			return
		}
		*v = time.Unix(0, int64(binary.BigEndian.Uint64(value)))
	}
}
