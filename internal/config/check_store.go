package config

import "net"

func (d *decoder) checkRedis(r *Redis) {
	const path = "store.redis"
	if r == nil || d.isBroken(path) {
		return
	}
	if len(r.Addresses) == 0 {
		d.wrong(path+".addresses", "want at least one HOST:PORT")
	}
	remote := false
	for i, a := range r.Addresses {
		host, port, err := net.SplitHostPort(a)
		if err != nil || host == "" || port == "" {
			d.wrong(position(path+".addresses", i), `want HOST:PORT, like "127.0.0.1:6379"`) // not quoted: some write a password before it
		}
		remote = remote || !loopback(host)
	}
	switch {
	case r.Cluster && r.MasterName != "":
		d.wrong(path+".cluster", "cluster and master_name (Sentinel) exclude each other; take one out")
	case len(r.Addresses) > 1 && !r.Cluster && r.MasterName == "":
		d.wrong(path+".addresses", "several addresses need master_name (then they are Sentinels) or cluster: true")
	}
	if d.clientTLS(path+".tls", &r.TLS); r.TLS == nil && remote {
		d.warn(path, "without tls, anybody on the network between can read and change open logins; give tls: {ca_file: ...}")
	}
}
