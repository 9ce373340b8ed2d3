// Package upstream tries the whole program in front of a RADIUS server, and
// behind one: FreeRADIUS judges the passwords that radclient and eapol_test
// send, by PAP, CHAP, MS-CHAP and within EAP; or it ends the tunnels and asks us.
// There is nothing in it but tests.
package upstream
