package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vssgate/internal/admin"
	"vssgate/internal/enrol"
)

// columns of an import or export file, in the order of an export.
var columns = []string{"username", "kind", "bhxh_number", "personal_id", "custodian", "document", "document_date", "from", "until"}

func fields(r *admin.Row) []*string {
	return []*string{&r.Username, &r.Kind, &r.BHXHNumber, &r.PersonalID, &r.Custodian, &r.Document, &r.DocumentDate, &r.From, &r.Until}
}

func accountImportCommand(w *where) *cobra.Command {
	var check, asJSON bool
	cmd := &cobra.Command{
		Use:   "import FILE.csv",
		Short: "declare many accounts at once: all of them, or none",
		Long: `Reads a CSV file (UTF-8) with this header; columns may be left out or in another
order, username may not:

  ` + strings.Join(columns, ",") + `

kind is person or organisation. Days are written 2026-11-30 or 30/11/2026. Every
line is checked first, also against the directory: every bad one is named, as
FILE:LINE: why, and then nothing is written. The same file may be imported again.`,
		Example: `  vssgate account import --check accounts.csv
  vssgate account import accounts.csv`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return importAccounts(cmd, w, args[0], check, asJSON) },
	}
	cmd.Flags().BoolVar(&check, "check", false, "name the bad lines and write nothing")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// chunk is how many rows go to the daemon in one call.
const chunk = 200

func importAccounts(cmd *cobra.Command, w *where, file string, check, asJSON bool) error {
	rows, bad, err := readRows(file)
	if err != nil {
		return err
	}
	socket, err := w.adminSocket()
	if err != nil {
		return err
	}
	steps := []bool{true, false} // first all are checked, then all are written
	if check {
		steps = steps[:1]
	}
	for _, checking := range steps {
		told, err := send(cmd, socket, rows, checking)
		if err != nil {
			return err
		}
		if bad = append(bad, told...); len(bad) > 0 {
			return tellBad(cmd, file, bad, asJSON)
		}
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), struct {
			Accounts int            `json:"accounts"`
			Written  bool           `json:"written"`
			Bad      []admin.BadRow `json:"bad"`
		}{len(rows), !check, []admin.BadRow{}})
	}
	verb := "imported"
	if check {
		verb = "good"
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d accounts %s\n", len(rows), verb)
	return nil
}

// send hands rows to the daemon, and tells how far it is.
func send(cmd *cobra.Command, socket string, rows []admin.Row, check bool) (bad []admin.BadRow, err error) {
	verb := "imported"
	if check {
		verb = "checked"
	}
	done := 0
	for part := range slices.Chunk(rows, chunk) {
		out, err := admin.Call[admin.Imported](cmd.Context(), socket, "/account/import", admin.Import{Rows: part, Check: check, All: len(rows)})
		if err != nil {
			return bad, fmt.Errorf("%d of %d accounts %s: %w", done, len(rows), verb, err)
		}
		bad = append(bad, out.Bad...)
		if done += len(part); len(rows) > chunk {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s %d of %d\n", verb, done, len(rows))
		}
	}
	return bad, nil
}

func tellBad(cmd *cobra.Command, file string, bad []admin.BadRow, asJSON bool) error {
	slices.SortStableFunc(bad, func(a, b admin.BadRow) int { return a.Line - b.Line })
	if asJSON {
		if err := printJSON(cmd.OutOrStdout(), admin.Imported{Bad: bad}); err != nil {
			return err
		}
	}
	for _, b := range bad {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s:%d: %s\n", file, b.Line, b.Why)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "vssgate: %d bad lines; nothing was imported\n", len(bad))
	return errQuiet
}

// readRows reads a file, and finds what is wrong with it by itself.
func readRows(name string) (rows []admin.Row, bad []admin.BadRow, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	r := csv.NewReader(skipMark(f))
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: read the header: %w", name, err)
	}
	places, err := placesOf(header)
	if err != nil {
		return nil, nil, fmt.Errorf("%s:1: %w", name, err)
	}
	var entries []enrol.Entry
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var wrong *csv.ParseError
		if errors.As(err, &wrong) {
			return nil, nil, fmt.Errorf("%s:%d: %w", name, wrong.Line, wrong.Err)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		line, _ := r.FieldPos(0)
		if len(record) != len(header) {
			bad = append(bad, admin.BadRow{Line: line, Why: fmt.Sprintf("%d fields, the header has %d", len(record), len(header))})
			continue
		}
		row := admin.Row{Line: line}
		for i, into := range places {
			*fields(&row)[into] = strings.TrimSpace(record[i])
		}
		rows = append(rows, row)
		entries = append(entries, enrol.Entry{Username: row.Username, BHXH: row.BHXHNumber, Personal: row.PersonalID})
	}
	for i, why := range enrol.Conflicts(entries) {
		bad = append(bad, admin.BadRow{Line: rows[i].Line, Why: why.Error()})
	}
	return rows, bad, nil
}

// placesOf tells which field each column of a header is.
func placesOf(header []string) (places []int, err error) {
	for _, name := range header {
		at := slices.Index(columns, strings.ToLower(strings.TrimSpace(name)))
		if at < 0 || slices.Contains(places, at) {
			return nil, fmt.Errorf("column %q is unknown or stands twice; want %s", name, strings.Join(columns, ","))
		}
		places = append(places, at)
	}
	if !slices.Contains(places, 0) {
		return nil, errors.New("there is no column username")
	}
	return places, nil
}

// skipMark passes over the byte order mark that spreadsheets write.
func skipMark(r io.Reader) io.Reader {
	head := make([]byte, 3)
	n, _ := io.ReadFull(r, head)
	if string(head[:n]) == "\ufeff" {
		return r
	}
	return io.MultiReader(strings.NewReader(string(head[:n])), r)
}

func accountExportCommand(w *where) *cobra.Command {
	var in admin.ExportAccounts
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "export --why REASON",
		Short: "all accounts with their numbers in full, as import reads them (audited)",
		Long: `Prints all accounts as CSV in the form that import reads, numbers in full. Keep
the output as safe as the directory. Who asked and why goes into the audit.`,
		Example: `  vssgate account export --why "move to the new server"`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call(cmd, w, asJSON, "/account/export", in, writeRows)
		},
	}
	cmd.Flags().StringVar(&in.Why, "why", "", "reason, for the audit")
	cmd.MarkFlagRequired("why")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func writeRows(out page, rows []admin.Row) {
	w := csv.NewWriter(out)
	w.Write(columns)
	for _, r := range rows {
		var record []string
		for _, field := range fields(&r) {
			record = append(record, *field)
		}
		w.Write(record)
	}
	w.Flush()
}
