package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"vssgate/internal/admin"
	"vssgate/internal/enrol"
	"vssgate/internal/secret"
)

func deviceCommand(w *where) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "device",
		Short: "devices: the phones whose VssID confirms logins",
		Long: `A device is one VssID installation of a person. It shows the codes of all
accounts whose person that is, and approves or denies their logins.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(deviceAddCommand(w), deviceListCommand(w), deviceRevokeCommand(w))
	return cmd
}

func deviceAddCommand(w *where) *cobra.Command {
	var in admin.User
	var asJSON bool
	var png string
	cmd := &cobra.Command{
		Use:   "add --account USER",
		Short: "make an activation code for a phone, once, for ten minutes",
		Long: `Makes an activation code for the phone of the person behind an account and shows
it as a QR code for VssID. It works once, for ten minutes. Whoever uses it can
confirm the account's logins: hand it to nobody else. --png writes the QR code as
a picture, for paper or a screen; delete it when the phone is in.`,
		Example: `  vssgate device add --account an.nv
  vssgate device add --account an.nv --png an.png
  vssgate phone enrol "$(vssgate device add --account an.nv --json | jq -r .activation_code)"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var made admin.Activation
			show := func(_ page, a admin.Activation) { made = a }
			picture, err := newPicture(png) // before a code is made that could not be drawn
			if err != nil {
				return err
			}
			if err = call(cmd, w, false, "/device/add", in, show); err == nil {
				err = showActivation(w.page(cmd.OutOrStdout()), made, asJSON)
			}
			return picture.finish(made.URL, err)
		},
	}
	cmd.Flags().StringVar(&png, "png", "", "a new file for the QR code as a picture, readable only by you")
	cmd.Flags().StringVar(&in.User, "account", "", "whose phone it is")
	cmd.MarkFlagRequired("account")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// printedActivation is what programs that enrol phones get.
type printedActivation struct {
	ActivationCode string    `json:"activation_code"`
	Expires        time.Time `json:"expires"`
	URL            string    `json:"url"`
}

func showActivation(out page, a admin.Activation, asJSON bool) error {
	if asJSON {
		return printJSON(out, printedActivation{a.ActivationCode, a.Expires, a.URL})
	}
	if qr, err := (enrol.Activation{URL: secret.Secret(a.URL)}).QR(); err == nil {
		fmt.Fprintln(out, qr)
	}
	fmt.Fprintf(out, "Scan this with VssID, or type %s there.\n", a.TypedCode)
	fmt.Fprintf(out, "activation code  %s\nvalid until      %s, once\n", a.ActivationCode, out.clock(a.Expires))
	return nil
}

// A picture is a file for a QR code; nil: none is wanted.
type picture struct{ *os.File }

func newPicture(path string) (*picture, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("--png %s: there is such a file, and it is never overwritten: name another", path)
	}
	if err != nil {
		return nil, fmt.Errorf("--png: %w", err)
	}
	return &picture{f}, nil
}

// finish draws url, or takes the file away when err says that there is none.
func (p *picture) finish(url string, err error) error {
	if p == nil {
		return err
	}
	if err == nil {
		var drawn []byte
		if drawn, err = (enrol.Activation{URL: secret.Secret(url)}).PNG(); err == nil {
			_, err = p.Write(drawn)
		}
	}
	if err = errors.Join(err, p.Close()); err != nil {
		return errors.Join(err, os.Remove(p.Name()))
	}
	return nil
}

func deviceListCommand(w *where) *cobra.Command {
	var in admin.User
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list --account USER",
		Short: "the devices of the person behind an account",
		Long: `Lists the phones of the person behind an account, what each can do with a login,
and whether it can be told of one. All accounts of a person have the same phones.`,
		Example: "  vssgate device list --account an.nv",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call(cmd, w, asJSON, "/device/list", in, showDevices)
		},
	}
	cmd.Flags().StringVar(&in.User, "account", "", "whose phones")
	cmd.MarkFlagRequired("account")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func showDevices(out page, all []admin.Device) {
	if len(all) == 0 {
		fmt.Fprintln(out, "no device is enrolled: vssgate device add --account USER")
		return
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DEVICE\tNAME\tPLATFORM\tVSSID\tCAN\tPUSH\tSIGNED IN\tENROLLED")
	for _, d := range all {
		push := "no"
		switch {
		case d.Notifications == "denied":
			push = "not allowed on the phone"
		case d.Push:
			push = "yes"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, d.Name, d.Platform, d.AppVersion, strings.Join(d.Can, ","), push, yesOrNo(d.SignedIn),
			out.clock(d.Enrolled))
	}
	t.Flush()
}

func yesOrNo(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func deviceRevokeCommand(w *where) *cobra.Command {
	var in admin.Revoke
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "revoke DEVICE",
		Short: "end a device for good, and the open logins of its person",
		Long: `Ends a device for good: a lost phone, or one that is no longer its owner's. Open
logins of its person end too, for it may have approved one a moment ago. The
person's next phone is enrolled with "device add". DEVICE is an id that "device
list" shows.`,
		Example: `  vssgate device revoke gXQ2...9jE --why "phone lost"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Device = args[0]
			return call(cmd, w, asJSON, "/device/revoke", in, func(out page, d admin.Device) {
				fmt.Fprintf(out, "revoked: %s (%s, %s)\n", d.ID, d.Name, d.Platform)
			})
		},
	}
	cmd.Flags().StringVar(&in.Why, "why", "", "reason, for the audit")
	jsonFlag(cmd, &asJSON)
	return cmd
}
