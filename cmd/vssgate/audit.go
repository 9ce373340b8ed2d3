package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"vssgate/internal/admin"
	"vssgate/internal/audit"
	"vssgate/internal/config"
	"vssgate/otp"
)

func auditCommand(w *where) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "audit: one line for each login and change, bound to the line before",
		Long: `Every login and every change by an administrator is one JSON line in audit.file,
bound to the line before by an HMAC under the installation's key. Each day's file
is set aside beside it (audit-TIME.jsonl) and kept for audit.keep.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(auditVerifyCommand(w), auditExportCommand(w))
	return cmd
}

func auditVerifyCommand(w *where) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [FILE...]",
		Short: "find out whether a record was changed, removed, added or moved",
		Long: `Follows the chain through all files of audit.file, or through the FILEs given
(a copy, say) from the oldest to the newest. The key is read from
secret_key_file: run it as root or as vssgate's user. The daemon need not run.

Records cut off at the end leave a shorter chain that is whole. The daemon, while
it runs, says which record is its newest, and the mark beside the file (AUDIT.end)
says which it was when it ended: then they are missed, at its next start too. Who
has kept an older mark and sets it back is not seen, nor what was cut off the
FILEs or written in the last second before a crash: that only a copy kept
elsewhere shows (audit.syslog). The answer says how its end is known.`,
		Example: `  vssgate audit verify
  vssgate audit verify /backup/audit-*.jsonl /backup/audit.jsonl`,
		RunE: func(cmd *cobra.Command, files []string) error { return verifyAudit(cmd, w, files, asJSON) },
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// A verified says how far the chain is whole.
type verified struct {
	Whole   bool     `json:"whole"`
	Records int      `json:"records"`
	End     string   `json:"end"` // verified: nothing is missing that the running daemon wrote; marked: nor that the mark knows of; unknown: nobody told
	Files   []string `json:"files"`
	Broken  string   `json:"broken,omitempty"`
}

func verifyAudit(cmd *cobra.Command, w *where, files []string, asJSON bool) error {
	c, err := config.Load(w.config)
	if err != nil {
		return printProblems(cmd, err)
	}
	file, err := os.ReadFile(c.SecretKeyFile)
	if err != nil {
		return fmt.Errorf("secret_key_file: %w", err)
	}
	keys, err := otp.ParseKeys(file)
	if err != nil {
		return fmt.Errorf("secret_key_file %s: %w", c.SecretKeyFile, err)
	}
	out := verified{Files: files, End: "unknown"}
	if len(files) > 0 {
		out.Records, err = audit.VerifyFiles(files, keys)
	} else {
		var head string
		if head, out.End, err = auditHead(cmd, w, c.Audit.File, keys); err != nil {
			return err
		}
		out.Files, out.Records, err = verifyLive(c.Audit.File, head, keys)
	}
	var broken *audit.BrokenError
	if err != nil && !errors.As(err, &broken) {
		return err
	}
	if out.Whole = err == nil; !out.Whole {
		out.Broken = err.Error()
	}
	if asJSON {
		if err := printJSON(cmd.OutOrStdout(), out); err != nil {
			return err
		}
	} else if out.Whole {
		fmt.Fprintf(cmd.OutOrStdout(), "the chain is whole: %d records in %d files%s\n", out.Records, len(out.Files), ends[out.End])
	}
	if !out.Whole {
		fmt.Fprintf(cmd.ErrOrStderr(), "vssgate: %v\n%d records before it are whole. Compare with a copy kept elsewhere.\n", err, out.Records)
		return errQuiet
	}
	return nil
}

// ends say what is known of records that were cut off the end.
var ends = map[string]string{
	"verified": ", up to the last one that the running daemon wrote",
	"marked":   ", up to the last one that the mark beside them knows of; the daemon does not run",
	"unknown": `
Not seen: whether records were cut off the end. Neither a running daemon nor a
mark beside the file said which is the last one; compare it with a copy kept
elsewhere (audit.syslog).`,
}

// auditHead is the hash of the newest record and how it is known: from the daemon
// that writes to that file, from the mark beside it, or not at all.
func auditHead(cmd *cobra.Command, w *where, file string, keys *otp.Keys) (hash, known string, err error) {
	if socket, err := w.adminSocket(); err == nil {
		head, err := admin.Call[admin.AuditHead](cmd.Context(), socket, "/audit/head", admin.None{})
		if err == nil && head.File == file {
			return head.Hash, "verified", nil
		}
	}
	if hash, err = audit.Head(file, keys); hash == "" {
		return "", "unknown", err
	}
	return hash, "marked", nil
}

// verifyLive verifies files that the daemon goes on writing: what it was just
// writing, or had just set aside, is whole a moment later.
func verifyLive(path, head string, keys *otp.Keys) (files []string, n int, err error) {
	for try := 0; ; try++ {
		if files, err = audit.Files(path); err != nil {
			return nil, 0, err
		}
		if len(files) == 0 {
			return nil, 0, fmt.Errorf("no audit log at %s yet", path)
		}
		if n, err = audit.VerifyUpTo(head, files, keys); err == nil || try == 3 {
			return files, n, err
		}
		again, listErr := audit.Files(path)
		var broken *audit.BrokenError
		if listErr != nil || slices.Equal(files, again) && errors.As(err, &broken) && broken.File != path {
			return files, n, err // in a file that nobody writes any more
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func auditExportCommand(w *where) *cobra.Command {
	var in admin.Export
	cmd := &cobra.Command{
		Use:   "export USER --why REASON",
		Short: "one person's records, as they stand in the files",
		Long: `Prints every record about the person behind USER: all accounts and devices of
that person, logins and changes, one JSON line each. The daemon says which they
are and notes in the audit who asked and why; the files are read here: run it as
root or as vssgate's user.`,
		Example: `  vssgate audit export an.nv --why "request of the person, letter 12/2026"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.User = args[0]
			socket, err := w.adminSocket()
			if err != nil {
				return err
			}
			which, err := admin.Call[admin.Exported](cmd.Context(), socket, "/audit/export", in)
			if err != nil {
				return err
			}
			files, err := audit.Files(which.File)
			if err != nil {
				return err
			}
			ids := map[string]bool{}
			for _, id := range which.IDs {
				ids[id] = true
			}
			n, err := audit.Select(files, ids, cmd.OutOrStdout())
			if err == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "%d records in %d files\n", n, len(files))
			}
			return err
		},
	}
	cmd.Flags().StringVar(&in.Why, "why", "", "reason, for the audit")
	cmd.MarkFlagRequired("why")
	cmd.Flags().Bool("json", true, "records are JSON lines in any case")
	return cmd
}
