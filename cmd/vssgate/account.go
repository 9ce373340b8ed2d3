package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"vssgate/internal/admin"
	"vssgate/internal/config"
	"vssgate/internal/enrol"
	"vssgate/internal/login"
)

func accountCommand(w *where) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "account",
		Short: "accounts: what logs in, and whose social insurance number stands behind it",
		Long: `An account is what logs in. A mã số BHXH (social insurance number, 10 digits) or
a personal identification number (12 digits) says which person stands behind it,
and that person's phones confirm its logins.

USER is resolved in the directory as at login, and the account is created on
first mention. The commands talk to the running daemon, over the admin.socket of
the configuration or --socket. What changes or reveals something is audited.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(accountListCommand(w), accountShowCommand(w), accountSetCommand(w), accountAssignCommand(w), accountUnlockCommand(w),
		accountRemoveCommand(w), accountImportCommand(w), accountExportCommand(w),
		accountTOTPCommand(w), accountRecoveryCommand(w), accountHelpCommand(w))
	return cmd
}

// call sends a command to the daemon and prints the answer, as JSON or by show.
func call[Out any](cmd *cobra.Command, w *where, asJSON bool, path string, in any, show func(page, Out)) error {
	socket, err := w.adminSocket()
	if err != nil {
		return err
	}
	out, err := admin.Call[Out](cmd.Context(), socket, path, in)
	if err != nil {
		return err
	}
	if cmd.Parent() == nil || cmd.Parent().Name() != "emergency" {
		w.warnOfEmergency(cmd, socket)
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), out)
	}
	show(w.page(cmd.OutOrStdout()), out)
	return nil
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false) // URLs as they are
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func accountListCommand(w *where) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "all accounts that were ever mentioned",
		Long: `Lists all accounts that logged in or were named in a command, whether each can
log in now, and why not if it cannot. Numbers are masked.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call(cmd, w, asJSON, "/account/list", admin.None{}, func(out page, all []admin.Account) {
				t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "USER\tNAME\tNUMBER\tDEVICES\tCAN LOG IN")
				for _, a := range all {
					fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", a.Username, a.DisplayName, cmp.Or(a.BHXHNumber, a.PersonalID, "-"), len(a.Devices), out.state(a))
				}
				t.Flush()
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// state says in a word whether the account could log in now.
func (p page) state(a admin.Account) string {
	switch {
	case a.Locked && a.LockedUntil == nil:
		return "no: locked until `vssgate account unlock`"
	case a.Locked:
		return "no: locked until " + p.clock(*a.LockedUntil)
	case a.Standing != nil && a.Standing.ThrottledUntil != nil:
		return "no: too many wrong passwords, none is passed to the directory until " + p.clock(*a.Standing.ThrottledUntil)
	case a.Fallbacks != nil && (a.Problem == string(login.NoDevice) || a.Problem == string(login.OldApp)):
		return "by its own codes, where second_factor.factors allows them: " + a.Problem
	case a.Problem != "":
		return "no: " + a.Problem
	}
	return "yes"
}

func accountShowCommand(w *where) *cobra.Command {
	var in admin.Show
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show USER",
		Short: "one account: can it log in, what counts against it, its phones and last logins",
		Long: `Shows whether the account can log in now, and if not, why and until when; what
counts against it; its latest logins (those of this node, from the audit), its
phones and codes. Numbers are masked; --reveal --why shows and audits them.`,
		Example: `  vssgate account show an.nv
  vssgate account show an.nv --reveal --why "ticket 4711, user called back"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.User = args[0]
			if in.Reveal && strings.TrimSpace(in.Why) == "" {
				return errUsage{fmt.Errorf("--reveal needs --why: who asked, and for what")}
			}
			return call(cmd, w, asJSON, "/account/show", in, showAccount)
		},
	}
	cmd.Flags().BoolVar(&in.Reveal, "reveal", false, "show the numbers in full (audited)")
	cmd.Flags().StringVar(&in.Why, "why", "", "reason, for the audit")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func showAccount(out page, a admin.Account) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "user\t%s\n", a.Username)
	fmt.Fprintf(t, "name\t%s\n", a.DisplayName)
	fmt.Fprintf(t, "id\t%s\n", a.ID)
	if a.Kind == string(enrol.OfOrganisation) {
		fmt.Fprintln(t, "kind\torganisation: its custodian's phones answer")
	} else {
		fmt.Fprintf(t, "mã số BHXH\t%s\n", cmp.Or(a.BHXHNumber, "-"))
		fmt.Fprintf(t, "personal id\t%s\n", cmp.Or(a.PersonalID, "-"))
	}
	fmt.Fprintf(t, "can log in\t%s\n", out.state(a))
	if way := wayOut(a); way != "" {
		fmt.Fprintf(t, "what to do\t%s\n", way)
	}
	showStanding(page{t, out.zone}, a)
	if len(a.Devices) == 0 && a.Kind != string(enrol.OfOrganisation) {
		fmt.Fprintln(t, "phones\tnone")
	}
	t.Flush()
	showLastLogins(out, a.Logins)
	showAssignments(out, a.Assignments)
	showFallbacks(out, a.Fallbacks)
	if len(a.Devices) > 0 {
		fmt.Fprintln(out)
		showDevices(out, a.Devices)
	}
}

// wayOut is what an administrator does about an account that cannot log in; ""
// where the lock or the directory says it.
func wayOut(a admin.Account) string {
	switch login.Reason(a.Problem) {
	case login.NoNumber, login.BadNumber:
		return "vssgate account set " + a.Username + " --bhxh-number N, or correct the directory's attribute"
	case login.NumberChanged:
		return "the directory has another number than before; ask the user, then confirm the right one: vssgate account set " + a.Username + " --bhxh-number N"
	case login.NoCustodian:
		return "vssgate account assign " + a.Username + " --custodian N --document REF --document-date D"
	case login.NoDevice:
		if a.Kind == string(enrol.OfOrganisation) {
			return "the custodian enrols a phone: vssgate device add --account with the custodian's own account"
		}
		return "vssgate device add --account " + a.Username
	case login.OldApp:
		return "the user updates VssID on the phone"
	}
	return ""
}

// showStanding says what counts against an account.
func showStanding(out page, a admin.Account) {
	s := a.Standing
	switch {
	case s == nil:
		return
	case a.Locked && s.Reported:
		fmt.Fprintf(out, "locked\tits owner reported a login: somebody else knows the password; change it, then: vssgate account unlock %s --why ...\n", a.Username)
	case a.Locked:
		fmt.Fprintf(out, "locked\t%d wrong codes; sooner by: vssgate account unlock %s --why ...\n", s.WrongCodes, a.Username)
	case s.WrongCodes > 0:
		fmt.Fprintf(out, "wrong codes\t%d; it is locked at %d, a right one forgives them\n", s.WrongCodes, s.LocksAt)
	}
	switch {
	case s.ThrottledUntil != nil:
		fmt.Fprintf(out, "wrong passwords\t%d: right ones are refused too (bad_password), so that the directory locks nobody out; sooner by: vssgate account unlock %s --why ...\n", s.WrongPasswords, a.Username)
	case s.WrongPasswords > 0:
		fmt.Fprintf(out, "wrong passwords\t%d lately\n", s.WrongPasswords)
	}
	if s.PromptedFrom != nil {
		fmt.Fprintf(out, "prompts\t%d unanswered (push_limit): phones are told of no login until %s; VssID shows its code when opened\n", s.Prompts, out.clock(*s.PromptedFrom))
	}
}

func showLastLogins(out page, all []admin.Login) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(out)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TIME\tTRACE\tCLIENT\tFROM\tSTAGE\tREASON")
	for _, l := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", out.clock(l.Created), l.Trace, l.Client, plain(l.From), l.Stage, cmp.Or(l.Reason, "-"))
	}
	t.Flush()
}

func accountSetCommand(w *where) *cobra.Command {
	var in admin.SetNumbers
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "set USER",
		Short: "declare the numbers of the person behind an account, or confirm a changed one",
		Long: `Says which person stands behind an account. What is set here wins over the
directory's attribute. The number is pinned when the account is first used; when
the directory's value changes later, logins are refused until this command
confirms it.

--organisation makes it an organisation's account: an officer answers for it, who
was given it by a written document ("account assign").`,
		Example: `  vssgate account set an.nv --bhxh-number 0123456789
  vssgate account set bhxh.hanoi --organisation`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.User = args[0]
			switch numbers := in.BHXHNumber + in.PersonalID; {
			case numbers == "" && !in.Organisation:
				return errUsage{fmt.Errorf("nothing to set: give --bhxh-number (10 digits), --personal-id (12 digits), both, or --organisation")}
			case numbers != "" && in.Organisation:
				return errUsage{fmt.Errorf("an organisation's account has no number of its own: after --organisation, vssgate account assign %s --custodian N", args[0])}
			}
			return call(cmd, w, asJSON, "/account/set", in, showAccount)
		},
	}
	cmd.Flags().StringVar(&in.BHXHNumber, "bhxh-number", "", "social insurance number, 10 digits")
	cmd.Flags().StringVar(&in.PersonalID, "personal-id", "", "personal identification number, 12 digits")
	cmd.Flags().BoolVar(&in.Organisation, "organisation", false, "an organisation's account, which has a custodian")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func accountUnlockCommand(w *where) *cobra.Command {
	var in admin.Unlock
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "unlock USER --why REASON",
		Short: "let a locked account log in again: after wrong codes or passwords, or a report",
		Long: `Ends at once what keeps an account out for a while: the lock after wrong codes or
after its owner reported a login, and the pause after wrong passwords. What the
directory itself has locked stays locked.`,
		Example: `  vssgate account unlock an.nv --why "called from his desk, number checked"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.User = args[0]
			return call(cmd, w, asJSON, "/account/unlock", in, showAccount)
		},
	}
	cmd.Flags().StringVar(&in.Why, "why", "", "reason, for the audit")
	cmd.MarkFlagRequired("why")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// A page is what a command prints for people. Times are those of time_zone, and
// say so.
type page struct {
	io.Writer
	zone *time.Location
}

func (w *where) page(out io.Writer) page { return page{out, config.TimeZone(w.config)} }

func (p page) clock(t time.Time) string { return t.In(p.zone).Format(time.DateTime + " -07:00") }

func jsonFlag(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "print as JSON")
}
