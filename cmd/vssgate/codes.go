package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vssgate/internal/admin"
	"vssgate/internal/enrol"
	"vssgate/internal/secret"
)

func accountTOTPCommand(w *where) *cobra.Command {
	return ownCodesCommand(w, &admin.OwnCodes{}, "/account/totp", showApp, &cobra.Command{
		Use:   "totp USER",
		Short: "let an authenticator app of the user's show codes for an account",
		Long: `Makes the secret of an authenticator app (RFC 6238: SHA-1, 6 digits, 30 seconds)
and shows it once, as a QR code, as a URL and to be typed. A secret that was given
before counts no more. It is confirmed by the first login with one of its codes,
which must come within seven days. Each code lets in once, on all nodes.

The codes count where second_factor.factors, or a policy's, name totp. An account
that has an authenticator app needs no phone with VssID there.`,
		Example: `  vssgate account totp an.nv --why "no smartphone, uses a desktop app"
  vssgate account totp an.nv --remove --why "app lost"`,
	})
}

func showApp(out page, a admin.NewApp) {
	if a.Removed {
		fmt.Fprintf(out, "removed: no authenticator app shows codes for %s any more\n", a.Account)
		return
	}
	if qr, err := enrol.QR(secret.Secret(a.URL)); err == nil {
		fmt.Fprintln(out, qr)
	}
	fmt.Fprintln(out, "Scan this with an authenticator app, or type the secret there. It is shown this once.")
	fmt.Fprintf(out, "secret  %s\nurl     %s\n", a.Secret, a.URL)
}

func accountRecoveryCommand(w *where) *cobra.Command {
	return ownCodesCommand(w, &admin.OwnCodes{}, "/account/recovery-codes", showRecoveryCodes, &cobra.Command{
		Use:   "recovery-codes USER",
		Short: "print ten codes that let in once each, for when the phone is lost",
		Long: `Makes ten recovery codes and shows them once, to be printed and kept like a key.
Each lets in once, after the right password; those made before count no more. They
are typed where the six digits are asked for, or behind the password; capitals,
spaces and hyphens do not matter.

They count where second_factor.factors, or a policy's, name recovery. The person's
phones are told when one is used.`,
		Example: `  vssgate account recovery-codes an.nv
  vssgate account recovery-codes an.nv --remove --why "list lost"`,
	})
}

func showRecoveryCodes(out page, a admin.NewRecoveryCodes) {
	if a.Removed {
		fmt.Fprintf(out, "removed: %s has no recovery codes any more\n", a.Account)
		return
	}
	fmt.Fprintf(out, "Recovery codes of %s. Each lets in once. They are shown this once:\n\n", a.Account)
	for _, code := range a.Codes {
		fmt.Fprintf(out, "  %s\n", code)
	}
}

func accountHelpCommand(w *where) *cobra.Command {
	in := &admin.OwnCodes{}
	cmd := ownCodesCommand(w, in, "/account/help-code", showHelpCode, &cobra.Command{
		Use:   "help-code USER --why REASON",
		Short: "make a code for a user who has called the help desk; it lets in once",
		Long: `Makes a code of eight digits that lets in once, after the right password, for as
long as --valid says, at most 24h. One that was made before counts no more. Be sure
of who is calling: whoever has this code and the password is let in.

It counts where second_factor.factors, or a policy's, name help. The person's phones
are told when it is used.`,
		Example: `  vssgate account help-code an.nv --valid 4h --why "phone broken, called back at his desk"
  vssgate account help-code an.nv --remove --why "not him"`,
		PreRunE: func(*cobra.Command, []string) error {
			if strings.TrimSpace(in.Why) == "" {
				return errUsage{fmt.Errorf("--why is missing: who asked, and how you knew him")}
			}
			return nil
		},
	})
	cmd.Flags().DurationVar(&in.Valid, "valid", 4*time.Hour, "how long it is good, 1m to 24h")
	return cmd
}

func showHelpCode(out page, a admin.NewHelpCode) {
	if a.Removed {
		fmt.Fprintf(out, "removed: %s has no help-desk code any more\n", a.Account)
		return
	}
	fmt.Fprintf(out, "help-desk code of %s  %s %s\nvalid until           %s, once\n", a.Account, a.Code[:len(a.Code)/2], a.Code[len(a.Code)/2:], out.clock(*a.Expires))
}

// ownCodesCommand makes cmd one that gives USER codes of his own, or takes them
// away: what in says is asked for at path.
func ownCodesCommand[T any](w *where, in *admin.OwnCodes, path string, show func(page, T), cmd *cobra.Command) *cobra.Command {
	var asJSON bool
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.User = args[0]
		return call(cmd, w, asJSON, path, *in, show)
	}
	cmd.Flags().BoolVar(&in.Remove, "remove", false, "take it away instead")
	cmd.Flags().StringVar(&in.Why, "why", "", "reason, for the audit")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// showFallbacks says which codes of its own an account has.
func showFallbacks(out page, f *admin.Fallbacks) {
	if f == nil {
		return
	}
	fmt.Fprintln(out)
	if f.TOTP != "" {
		fmt.Fprintf(out, "authenticator app: %s\n", f.TOTP)
	}
	if f.Recovery > 0 {
		fmt.Fprintf(out, "recovery codes: %d unused\n", f.Recovery)
	}
	if f.Help != nil {
		fmt.Fprintf(out, "help-desk code: until %s\n", out.clock(*f.Help))
	}
}
