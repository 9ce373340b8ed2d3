package dictionary

// Why an attribute cannot be given in a configuration.
const (
	ours     = "vssgate makes it itself"
	request  = "it belongs to requests; a NAS does not take it in an answer"
	password = "it carries a password or its proof, and is in no answer"
	keys     = "its keys are made by the login itself"
	secret   = "it is sent encrypted, and would stand readable in the configuration"
	named    = "a NAS would take every user for the one it names"
	rejects  = "it does not belong into an Access-Accept"
)

// never lists what no reply may be given, by number.
var never = map[number]string{
	{0, 1}: named, {0, 2}: password, {0, 3}: password, {0, 60}: password, {0, 70}: password, {0, 71}: password, {0, 74}: password, {0, 84}: password,
	{0, 24}: ours, {0, 33}: ours, {0, 79}: ours, {0, 80}: ours, {0, 102}: ours,
	{0, 75}: rejects, {0, 76}: rejects, {0, 101}: rejects,
	{0, 4}: request, {0, 5}: request, {0, 30}: request, {0, 31}: request, {0, 32}: request, {0, 61}: request, {0, 77}: request, {0, 87}: request, {0, 95}: request,
	{0, 40}: request, {0, 41}: request, {0, 42}: request, {0, 43}: request, {0, 44}: request, {0, 45}: request, {0, 46}: request, {0, 47}: request,
	{0, 48}: request, {0, 49}: request, {0, 50}: request, {0, 51}: request, {0, 52}: request, {0, 53}: request, {0, 55}: request, {0, 68}: request, {0, 86}: request,
	{microsoft, 1}: password, {microsoft, 2}: ours, {microsoft, 3}: password, {microsoft, 4}: password, {microsoft, 5}: password, {microsoft, 6}: password,
	{microsoft, 10}: ours, {microsoft, 11}: password, {microsoft, 12}: keys, {microsoft, 16}: keys, {microsoft, 17}: keys,
	{microsoft, 25}: password, {microsoft, 26}: ours, {microsoft, 27}: password,
}

const microsoft = 311 // RFC 2548

// refused says why a cannot be given in a configuration; "": it can.
func (a *Attribute) refused() string {
	if why := never[number{a.Vendor, a.Type}]; why != "" {
		return why
	}
	if a.Hidden {
		return secret
	}
	return ""
}
