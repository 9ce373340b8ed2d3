package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vssgate/internal/admin"
)

func accountAssignCommand(w *where) *cobra.Command {
	var in admin.Assign
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "assign USER --custodian N --document REF --document-date D",
		Short: "give an organisation's account to the officer whose phones answer for it",
		Long: `Gives an organisation's account to a custodian: the officer with that number (10
or 12 digits), by a written document with reference and date. Days are written
2026-11-30 or 30/11/2026; --from is the first day (default: now), --until the
last (default: until another assignment). Earlier assignments stay as history.
Open logins of the custodian before end at once. The phone is the custodian's
own: he needs no other one for this account.`,
		Example: `  vssgate account assign bhxh.hanoi --custodian 0123456789 --document 836/BHXH-CNTT --document-date 26/03/2024`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.User = args[0]
			return call(cmd, w, asJSON, "/account/assign", in, showAccount)
		},
	}
	cmd.Flags().StringVar(&in.Custodian, "custodian", "", "the officer's social insurance or personal identification number")
	cmd.Flags().StringVar(&in.Document, "document", "", "reference of the written assignment")
	cmd.Flags().StringVar(&in.DocumentDate, "document-date", "", "its date")
	cmd.Flags().StringVar(&in.From, "from", "", "first day")
	cmd.Flags().StringVar(&in.Until, "until", "", "last day")
	for _, needed := range []string{"custodian", "document", "document-date"} {
		cmd.MarkFlagRequired(needed)
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func showAssignments(out page, all []admin.Assignment) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(out)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CUSTODIAN\tDOCUMENT\tOF\tFROM\tUNTIL")
	for _, a := range all {
		until := "-"
		if a.Until != nil {
			until = out.clock(*a.Until)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", a.Custodian, a.Document, a.DocumentDate, out.clock(a.From), until)
	}
	t.Flush()
}

func accountRemoveCommand(w *where) *cobra.Command {
	var in admin.Remove
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "remove USER --why REASON",
		Short: "erase an account, and its person's data when it was their last one",
		Long: `Erases what vssgate knows of an account: numbers, custodians and, when it was the
person's last account, the person's phones. Open logins end. It says what is kept
and why. The directory is not touched: who logs in again begins anew.`,
		Example: `  vssgate account remove an.nv --why "left the office, letter 12/2026"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.User = args[0]
			return call(cmd, w, asJSON, "/account/remove", in, func(out page, r admin.Removed) {
				codes := ""
				if r.Codes {
					codes = ", the codes of its own"
				}
				fmt.Fprintf(out, "removed: %s%s, with %d numbers and %d devices. Kept:\n", r.Account, codes, r.Numbers, r.Devices)
				for _, kept := range r.Kept {
					fmt.Fprintf(out, "- %s\n", kept)
				}
			})
		},
	}
	cmd.Flags().StringVar(&in.Why, "why", "", "reason, for the audit")
	cmd.MarkFlagRequired("why")
	jsonFlag(cmd, &asJSON)
	return cmd
}
