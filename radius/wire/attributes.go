package wire

import (
	layeh "layeh.com/radius"
)

// Pack writes attributes as they stand in a packet. What is longer than one can
// be is left out; nothing that came out of a packet is.
func Pack(list layeh.Attributes) []byte {
	var b []byte
	for _, a := range list {
		if a.Type >= 0 && a.Type <= 255 && len(a.Attribute) <= MaxValue {
			b = append(append(b, byte(a.Type), byte(2+len(a.Attribute))), a.Attribute...)
		}
	}
	return b
}

// MaxValue is the longest value of an attribute.
const MaxValue = 253

// Unpack undoes Pack.
func Unpack(b []byte) (layeh.Attributes, error) { return layeh.ParseAttributes(b) }

// Split cuts a value into attributes of that type, in order: EAP-Message.
func Split(kind layeh.Type, value []byte) (list layeh.Attributes) {
	for len(value) > MaxValue {
		list.Add(kind, value[:MaxValue])
		value = value[MaxValue:]
	}
	list.Add(kind, value)
	return list
}

// Join undoes Split: all attributes of that type, end to end.
func Join(kind layeh.Type, list layeh.Attributes) (value []byte) {
	for _, a := range list {
		if a.Type == kind {
			value = append(value, a.Attribute...)
		}
	}
	return value
}
