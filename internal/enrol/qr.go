package enrol

import (
	"github.com/skip2/go-qrcode"

	"vssgate/internal/secret"
)

// pngSize is the width and height of the picture in pixels: printed at 300 dpi,
// some four centimetres.
const pngSize = 512

// QR draws what an activation's URL says with half blocks, for a terminal.
func (a Activation) QR() (string, error) { return QR(a.URL) }

// QR draws a URL likewise.
func QR(url secret.Secret) (string, error) {
	code, err := qrcode.New(url.Reveal(), qrcode.Medium)
	if err != nil {
		return "", err
	}
	return code.ToSmallString(false), nil
}

// PNG is the same as a picture, for paper and screens.
func (a Activation) PNG() ([]byte, error) {
	return qrcode.Encode(a.URL.Reveal(), qrcode.Medium, pngSize)
}
