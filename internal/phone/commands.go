package phone

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"vssgate/internal/texts"
)

// options are the flags that every command of the phone has.
type options struct {
	url      string
	key      string
	language string
	json     bool
}

// Commands builds `vssgate phone`.
func Commands() *cobra.Command {
	o := &options{}
	c := &cobra.Command{
		Use:   "phone",
		Short: "a stand-in for VssID, for tests and pilots",
		Long: `A stand-in for VssID that speaks only the phone API. Its key is made at the
first enrolment and kept in the key file.

  vssgate device add --account an.nv                on the server: an activation code
  vssgate phone enrol CODE --name "Pilot" --key phone.key --url https://otp.example.vn
  vssgate phone watch --key phone.key --url https://otp.example.vn`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := c.PersistentFlags()
	f.StringVar(&o.url, "url", "http://127.0.0.1:8080", "`URL` of the phone API: vssid.public_url")
	f.StringVar(&o.key, "key", "phone.key", "`FILE` with the phone's own key")
	f.StringVar(&o.language, "language", "vi", "of what is shown: vi or en")
	c.AddCommand(enrolCommand(o), listCommand(o), approveCommand(o), denyCommand(o), watchCommand(o))
	return c
}

func (o *options) client() (*Client, error) {
	key, err := LoadKey(o.key)
	if err != nil {
		return nil, fmt.Errorf("%w (vssgate phone enrol makes one)", err)
	}
	return o.with(key)
}

func (o *options) with(key *Key) (*Client, error) {
	c, err := New(o.url, key)
	if err != nil {
		return nil, err
	}
	c.Language = o.language
	return c, nil
}

func (o *options) asJSON(c *cobra.Command) {
	c.Flags().BoolVar(&o.json, "json", false, "print what the server answered")
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func enrolCommand(o *options) *cobra.Command {
	e := Enrolment{}
	c := &cobra.Command{
		Use:   "enrol CODE",
		Short: "enrol this phone with an activation code",
		Long:  "Enrol this phone with the activation code of `vssgate device add`, or with its short form, USER:ABCD-EFGH.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := OpenKey(o.key)
			if err != nil {
				return err
			}
			client, err := o.with(key)
			if err != nil {
				return err
			}
			e.ActivationCode = args[0]
			done, err := client.Enrol(cmd.Context(), e)
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(cmd.OutOrStdout(), done)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "device %s\naccount %s (%s)\n", done.DeviceID, done.Account.Username, done.Account.DisplayName)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&e.Name, "name", "vssgate phone", "what this phone is called")
	f.StringVar(&e.Platform, "platform", "android", "ios, android or web")
	f.StringVar(&e.AppVersion, "app-version", "1.6.8", "VssID's `VERSION`")
	f.StringVar(&e.PushToken, "push-token", "", "where prompts are sent, `TOKEN`")
	f.StringSliceVar(&e.Can, "can", []string{"code", "approve", "number"}, "what this phone can do with a login")
	f.StringVar(&e.Notifications, "notifications", "", "allowed or denied")
	o.asJSON(c)
	return c
}

func listCommand(o *options) *cobra.Command {
	var wait int
	c := &cobra.Command{
		Use:   "list",
		Short: "list the logins that wait",
		Long: `List the open logins of this phone's person, newest first: the code to type, who
logs in, where and from where, and the ID to approve or deny it with.`,
		Example: `  vssgate phone list
  vssgate phone list --wait 60 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := o.client()
			if err != nil {
				return err
			}
			list, err := client.Logins(cmd.Context(), time.Duration(wait)*time.Second, "")
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(cmd.OutOrStdout(), list)
			}
			s, err := newScreen(cmd.OutOrStdout(), o.language)
			if err != nil {
				return err
			}
			s.show(list)
			return nil
		},
	}
	c.Flags().IntVar(&wait, "wait", 0, "`SECONDS` to wait for a login to open, up to 60")
	o.asJSON(c)
	return c
}

func approveCommand(o *options) *cobra.Command {
	var number string
	c := &cobra.Command{
		Use:   "approve ID",
		Short: "approve a login",
		Long: `Approve a login. ID is what "list" shows. Where a number is to be matched, it is
the one that the login screen shows; a wrong number denies the login.`,
		Example: "  vssgate phone approve ID --number 42",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.answer(cmd, args[0], Answer{Answer: "approve", Number: number})
		},
	}
	c.Flags().StringVar(&number, "number", "", "the number `NN` that the login screen shows")
	o.asJSON(c)
	return c
}

func denyCommand(o *options) *cobra.Command {
	var report bool
	c := &cobra.Command{
		Use:   "deny ID",
		Short: "deny a login",
		Long: `Deny a login, and with --report say that it was not you: then somebody else knows
the password. ID is what "list" shows.`,
		Example: `  vssgate phone deny ID
  vssgate phone deny ID --report`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a := Answer{Answer: "deny"}
			if report {
				a.Answer = "report"
			}
			return o.answer(cmd, args[0], a)
		},
	}
	c.Flags().BoolVar(&report, "report", false, "say that it was not you: locks the account for a while")
	o.asJSON(c)
	return c
}

func (o *options) answer(cmd *cobra.Command, id string, a Answer) error {
	client, err := o.client()
	if err != nil {
		return err
	}
	done, err := client.Answer(cmd.Context(), id, a)
	if err != nil {
		return err
	}
	if o.json {
		return printJSON(cmd.OutOrStdout(), done)
	}
	s, err := newScreen(cmd.OutOrStdout(), o.language)
	if err != nil {
		return err
	}
	s.answered(done)
	return nil
}

func watchCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "watch",
		Short: "show logins as they come, and answer by key press",
		Long: `Show logins as they come, and answer the one on top by key press:
a approve (then the number and Enter, when one is to be matched), d deny,
r report that it was not you, 1 to 9 bring another login to the top, q quit.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := o.client()
			if err != nil {
				return err
			}
			s, err := newScreen(cmd.OutOrStdout(), o.language)
			if err != nil {
				return err
			}
			restore := singleKeys(cmd.InOrStdin())
			defer restore()
			return watch(cmd.Context(), client, s, cmd.InOrStdin())
		},
	}
}

// newTexts are the wordings of VssID's own screens.
func newTexts(language string) (*texts.Texts, error) {
	return texts.New(texts.Options{Language: language})
}
