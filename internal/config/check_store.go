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
	if r.TLS != nil && *r.TLS == (ClientTLS{}) && d.anyWritten(path+".tls", "ca_file", "cert_file", "key_file", "server_name") {
		r.TLS = nil // its keys with their defaults are as good as left out; {} is TLS with the system's authorities
	}
	if r.TLS == nil {
		if remote {
			d.warn(path, "without tls, anybody on the network between can read and change open logins; give tls: {ca_file: ...}")
		}
		return
	}
	d.authorities(path+".tls.ca_file", &r.TLS.CAFile)
	d.pair(path+".tls", &r.TLS.CertFile, &r.TLS.KeyFile)
}
