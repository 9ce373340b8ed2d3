package enrol

import "github.com/skip2/go-qrcode"

// QR draws what an activation's URL says with half blocks, for a terminal.
func (a Activation) QR() (string, error) {
	code, err := qrcode.New(a.URL.Reveal(), qrcode.Medium)
	if err != nil {
		return "", err
	}
	return code.ToSmallString(false), nil
}
