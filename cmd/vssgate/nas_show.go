package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vssgate/internal/config"
	"vssgate/internal/nas"
)

func nasShowCommand(w *where) *cobra.Command {
	var client string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show KIND [--client NAME]",
		Short: "what to type on a NAS, and here",
		Long: `Prints the lines to type on a NAS of that kind, with time-outs that fit, and what
to write in vssgate.yaml. With --client everything is taken from the
configuration: our addresses, the client's mode and hold. The secret is not
printed; where it is, is. What is only general knowledge is marked "confirm on
your version".`,
		Example: "  vssgate nas show fortigate\n  vssgate nas show fortigate --client hq-vpn",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, known := nas.Find(args[0])
			if !known {
				return fmt.Errorf("no kind of NAS is called %q; known: %s; for any other: generic", args[0], strings.Join(nas.Names(), ", "))
			}
			of, warnings := nas.Unnamed(kind), []string(nil)
			if client != "" {
				c, err := config.Load(w.config)
				if err != nil {
					return printProblems(cmd, err)
				}
				if of, warnings, err = configured(c, client, kind); err != nil {
					return err
				}
			}
			r := kind.Recipe(of)
			r.Warnings = append(r.Warnings, warnings...)
			if asJSON {
				return printJSON(cmd.OutOrStdout(), r)
			}
			r.Print(cmd.OutOrStdout())
			return nil
		},
	}
	cmd.Flags().StringVar(&client, "client", "", "the client in the configuration that it is")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// configured is a client as the configuration has it, and what there is to say
// against it.
func configured(c *config.Config, name string, kind nas.Kind) (of nas.Client, warnings []string, err error) {
	i := slices.IndexFunc(c.RADIUS.Clients, func(k config.RADIUSClient) bool { return k.Name == name })
	if i < 0 {
		return of, nil, fmt.Errorf("there is no client %q in radius.clients of the configuration", name)
	}
	k := c.RADIUS.Clients[i]
	listen := c.RADIUS.Listen
	if k.Secret == "" {
		listen = c.RADIUS.TLS.Listen
		warnings = append(warnings, "this client comes over TLS only: set RADIUS over TLS on the NAS, with a certificate that has one of the names "+
			strings.Join(k.CertificateNames, ", ")+"; there the shared secret is radsec")
	}
	of = nas.Client{Name: name, SecretFile: k.SecretFile, Mode: k.Mode, Hold: k.Hold, Approval: k.Approval}
	for _, p := range k.Addresses {
		of.Addresses = append(of.Addresses, address(p))
	}
	of.Servers, of.Port = reachable(listen)
	if slices.ContainsFunc(of.Servers, func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.IsLoopback() }) {
		warnings = append(warnings, `radius.listen is for this machine only, which a NAS elsewhere cannot reach: write listen: ["0.0.0.0:1812"]`)
	}
	if k.NAS != "" && k.NAS != kind.Name {
		warnings = append(warnings, fmt.Sprintf("the configuration says nas: %s for this client", k.NAS))
	}
	return of, warnings, nil
}

func address(p netip.Prefix) string {
	s := p.String()
	if p.IsSingleIP() {
		s = p.Addr().String()
	}
	if strings.Contains(s, ":") {
		return fmt.Sprintf("%q", s)
	}
	return s
}

// reachable are the addresses of ours behind listeners, with the port of the
// first. Who listens everywhere is reached at all addresses of this machine.
func reachable(listen []string) (addresses []string, port string) {
	for _, l := range listen {
		host, p, err := net.SplitHostPort(l)
		if err != nil || port != "" && p != port {
			continue
		}
		port = p
		if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
			addresses = append(addresses, host)
			continue
		}
		addresses = append(addresses, ownAddresses()...)
	}
	if len(addresses) == 0 {
		addresses = []string{"VSSGATE"}
	}
	return addresses, port
}

// ownAddresses are those by which others reach this machine.
func ownAddresses() (all []string) {
	known, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range known {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			all = append(all, n.IP.String())
		}
	}
	return all
}
