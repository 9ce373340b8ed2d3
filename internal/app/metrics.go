package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"vssgate/internal/login"
	"vssgate/radius"
)

// metrics are the counters of contract and reader: `vssgate_...`, without user
// names in labels. It is the Meter of every part.
type metrics struct {
	registry    *prometheus.Registry
	logins      *prometheus.CounterVec
	open        prometheus.Gauge
	seconds     *prometheus.HistogramVec
	joined      prometheus.Counter
	late        prometheus.Counter
	pushes      *prometheus.CounterVec
	upstream    prometheus.Histogram
	dropped     *prometheus.CounterVec
	resent      prometheus.Counter
	rejected    *prometheus.CounterVec
	identifiers *prometheus.GaugeVec
	tlsOpen     prometheus.Gauge
	tlsClosed   *prometheus.CounterVec
	unsigned    *prometheus.CounterVec
	previous    *prometheus.CounterVec
	connections prometheus.Gauge
	refused     *prometheus.CounterVec
	problems    *prometheus.CounterVec
	forgotten   prometheus.Counter
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "vssgate", Name: name, Help: help}, labels)
	}
	one := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "vssgate", Name: name, Help: help})
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "vssgate", Name: name, Help: help}, labels)
	}
	m := &metrics{
		registry:    prometheus.NewRegistry(),
		logins:      counter("logins_total", "Logins that ended, by how.", "front_end", "client", "verdict", "reason"),
		open:        gauge("logins_open", "Logins whose password was right and that have no verdict yet.").WithLabelValues(),
		forgotten:   one("store_forgot_total", "Times that the store lost what was open in it: Redis was restarted, failed over or emptied."),
		joined:      one("joined_total", "Requests that joined a login instead of starting one."),
		late:        one("late_approvals_total", "Approvals collected by a later request, because nobody waited."),
		pushes:      counter("pushes_total", "Push messages, by what became of them.", "outcome"),
		dropped:     counter("packets_dropped_total", "Datagrams, connections and frames that were not served, by why.", "reason"),
		resent:      one("answers_resent_total", "Answers sent again to a retransmission."),
		rejected:    counter("requests_refused_total", "RADIUS requests that were rejected without being a login, by why.", "reason"),
		identifiers: gauge("identifiers_in_use", "Requests of a client that wait for an answer; a NAS has 256 Identifiers for each of its ports.", "client"),
		tlsOpen:     gauge("radius_tls_connections", "RADIUS connections over TLS.").WithLabelValues(),
		tlsClosed:   counter("radius_tls_closed_total", "RADIUS connections over TLS that were turned away or closed by this side, by why.", "reason"),
		unsigned:    counter("unsigned_requests_total", "Access-Requests that were served without Message-Authenticator.", "client"),
		previous:    counter("previous_secret_packets_total", "Packets that were made with a client's previous secret.", "client"),
		connections: gauge("ldap_connections", "LDAP connections of applications.").WithLabelValues(),
		refused:     counter("ldap_refused_total", "LDAP connections, binds and frames that were turned away, by why.", "reason"),
		problems:    counter("phone_problems_total", "Requests of phones and of VssID's servers that were answered with a problem, by its code.", "code"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "vssgate", Name: "login_seconds",
			Help: "From the right password to the verdict.", Buckets: []float64{.01, .1, 1, 5, 10, 20, 30, 60, 90, 120, 180}}, []string{"front_end"}),
		upstream: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "vssgate", Name: "upstream_seconds",
			Help: "What the first factor took.", Buckets: prometheus.ExponentialBuckets(.0005, 2, 14)}),
	}
	m.registry.MustRegister(m.logins, m.open, m.seconds, m.joined, m.late, m.pushes, m.upstream, m.dropped, m.resent, m.rejected, m.identifiers,
		m.unsigned, m.previous, m.tlsOpen, m.tlsClosed, m.connections, m.refused, m.problems, m.forgotten, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Verdict, Open, Joined, LateApproval and Upstream are login.Meter.
func (m *metrics) Verdict(f login.FrontEnd, client string, accepted bool, reason login.Reason, took time.Duration) {
	verdict := "rejected"
	if accepted {
		verdict = "accepted"
	}
	m.logins.WithLabelValues(string(f), client, verdict, string(reason)).Inc()
	m.seconds.WithLabelValues(string(f)).Observe(took.Seconds())
}
func (m *metrics) Open(delta int)              { m.open.Add(float64(delta)) }
func (m *metrics) Joined()                     { m.joined.Inc() }
func (m *metrics) LateApproval()               { m.late.Inc() }
func (m *metrics) Upstream(took time.Duration) { m.upstream.Observe(took.Seconds()) }

// Dropped, RequestRefused, Resent, IdentifiersInUse, TLSConnections and TLSClosed are radius.Meter.
func (m *metrics) Dropped(reason radius.Drop) { m.dropped.WithLabelValues(string(reason)).Inc() }
func (m *metrics) RequestRefused(why string)  { m.rejected.WithLabelValues(why).Inc() }
func (m *metrics) Resent()                    { m.resent.Inc() }
func (m *metrics) IdentifiersInUse(client string, delta int) {
	m.identifiers.WithLabelValues(client).Add(float64(delta))
}
func (m *metrics) TLSConnections(delta int)     { m.tlsOpen.Add(float64(delta)) }
func (m *metrics) TLSClosed(reason radius.Drop) { m.tlsClosed.WithLabelValues(string(reason)).Inc() }

// Unsigned and PreviousSecret too.
func (m *metrics) Unsigned(client string)       { m.unsigned.WithLabelValues(client).Inc() }
func (m *metrics) PreviousSecret(client string) { m.previous.WithLabelValues(client).Inc() }

// UpstreamDropped is upstream.Meter.
func (m *metrics) UpstreamDropped(reason string) {
	m.dropped.WithLabelValues("upstream_" + reason).Inc()
}

// Connections and Refused are ldapproxy.Meter.
func (m *metrics) Connections(delta int) { m.connections.Add(float64(delta)) }
func (m *metrics) Refused(reason string) { m.refused.WithLabelValues(reason).Inc() }

// Problem is phoneapi.Meter.
func (m *metrics) Problem(code string) { m.problems.WithLabelValues(code).Inc() }

// Push is push.Meter.
func (m *metrics) Push(outcome string) { m.pushes.WithLabelValues(outcome).Inc() }
