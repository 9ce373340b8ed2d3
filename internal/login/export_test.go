package login

// KeyOf is for tests that look into the store.
var KeyOf = keyOf
