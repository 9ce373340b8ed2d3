// Command vssgate is a second-factor server for network logins: RADIUS and
// LDAP in front, the directory behind, and VssID on the user's phone.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"vssgate/internal/phone"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// errUsage marks a mistake in how the program was called.
type errUsage struct{ error }

// errQuiet ends with exit code 1; what there is to say was said.
var errQuiet = errors.New("")

// run is the program: tests call it too.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(idsLast(args))
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	var usage errUsage
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errQuiet):
		return exitError
	case errors.As(err, &usage), strings.HasPrefix(err.Error(), "unknown command"), strings.HasPrefix(err.Error(), "required flag"):
		fmt.Fprintf(stderr, "vssgate: %v\nTry '%s --help'.\n", err, cmd.CommandPath())
		return exitUsage
	default:
		fmt.Fprintf(stderr, "vssgate: %v\n", err)
		return exitError
	}
}

// aDevice is a device's id that begins like a flag: the thumbprint of a key (RFC
// 7638) in base64url, which one in 64 times begins with a dash.
var aDevice = regexp.MustCompile(`^-[A-Za-z0-9_-]{42}$`)

// idsLast puts such ids behind "--", which ends the flags.
func idsLast(args []string) []string {
	if slices.Contains(args, "--") || !slices.ContainsFunc(args, aDevice.MatchString) {
		return args
	}
	var flags, ids []string
	for _, arg := range args {
		if aDevice.MatchString(arg) {
			ids = append(ids, arg)
		} else {
			flags = append(flags, arg)
		}
	}
	return append(append(flags, "--"), ids...)
}

// where is how commands find the configuration and the daemon.
type where struct {
	config string
	socket string
}

func rootCommand() *cobra.Command {
	w := &where{}
	root := &cobra.Command{
		Use:   "vssgate",
		Short: "second factor for network logins, confirmed in VssID",
		Long: `vssgate holds a login until its user confirms it in VssID.

VPN gateways and other NASes speak RADIUS to it, applications speak LDAP. It
checks the password at the real directory, then holds the login until the user
confirms it in the VssID app or types the code that VssID shows.

See all of it work, with nothing else installed:
  vssgate demo

From nothing to a login of your own:
  vssgate init DIR             write a commented configuration and a fresh key
  vssgate check                find all mistakes in it at once
  vssgate doctor               try the directory, Redis, FCM, ... that it names
  vssgate serve                run
  vssgate account set USER     say whose account it is, unless the directory does
  vssgate device add           make an activation code for USER's phone
  vssgate phone enrol CODE     a phone to try with, if VssID is not at hand
  vssgate try radius           log in as a NAS would, and see the exchange
  vssgate login show TRACE     why a login failed: what happened to it, step by step

Exit codes: 0 done, 1 not done (standard error says why), 2 wrong usage.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return errUsage{err} })
	root.PersistentFlags().StringVar(&w.config, "config", "/etc/vssgate/vssgate.yaml", "configuration `FILE`")
	root.PersistentFlags().StringVar(&w.socket, "socket", "", "the daemon's admin socket, instead of the one named in the configuration")
	root.AddCommand(
		serveCommand(w),
		checkCommand(w),
		doctorCommand(w),
		initCommand(),
		tryCommand(),
		demoCommand(),
		accountCommand(w),
		deviceCommand(w),
		loginCommand(w),
		nasCommand(w),
		auditCommand(w),
		emergencyCommand(w),
		rolloutCommand(w),
		storeCommand(w),
		versionCommand(),
		phone.Commands(),
	)
	root.SetHelpCommand(helpCommand())
	usageArgs(root)
	return root
}

// helpCommand is `vssgate help COMMAND`. The library's own ends with exit code 0
// when there is no such command.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "help about a command",
		RunE: func(help *cobra.Command, args []string) error {
			cmd, rest, err := help.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return errUsage{fmt.Errorf("unknown command %q", strings.Join(args, " "))}
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

// usageArgs makes wrong numbers of arguments usage errors that say what is
// wanted, for all commands.
func usageArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			switch err := check(cmd, args); {
			case err == nil:
				return nil
			case cmd.HasSubCommands():
				return errUsage{err}
			default:
				return errUsage{fmt.Errorf("wrong number of arguments (%d); want: %s", len(args), cmd.UseLine())}
			}
		}
	}
	for _, sub := range c.Commands() {
		usageArgs(sub)
	}
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unknown command or argument %q for %q", args[0], cmd.CommandPath())
	}
	return nil
}
