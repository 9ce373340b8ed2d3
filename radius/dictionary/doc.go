// Package dictionary knows RADIUS attributes by their names: those of the RFCs
// and of the vendors whose equipment asks us, and whatever else by number.
//
//	Reply("Filter-Id")             -> a Field -> Encode("admins")          -> an AVP, as it is sent
//	Reply("Fortinet-Group-Name")   -> a Field -> Encode("vpn-admins")      -> Vendor-Specific
//	Reply("Tunnel-Type:1")         -> a Field -> Encode("VLAN")            -> with tag 1 (RFC 2868)
//	Reply("Attr-26.12356.1")       -> a Field -> Encode("0x61646d696e73")  -> vendor 12356, attribute 1
//	Lookup("Class"), ByNumber(0, 25)
//
// The names and numbers are in *.dict beside this file, in the form that
// layeh.com/radius/dictionary reads; they are parsed once, at first use. Names
// are found whatever the case of their letters: manuals do not agree on it.
//
// Map: attribute.go (what is known of one, by name and by number), encode.go
// (values of configuration -> bytes), show.go (bytes -> text for people),
// refuse.go (what no configuration may send), *.dict.
package dictionary
