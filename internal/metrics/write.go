package metrics

import (
	"fmt"
	"io"
	"maps"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// format is version 0.0.4 of the text format, which every Prometheus reads.
var format = expfmt.NewFormat(expfmt.TypeTextPlain)

// ContentType is the media type of what Write writes.
var ContentType = string(format)

// Write writes all metrics, in the order of families.
func Write(w io.Writer, s Snapshot) error {
	e := expfmt.NewEncoder(w, format)
	for _, f := range families(s) {
		if len(f.Metric) == 0 {
			continue // a family without samples is none
		}
		if err := e.Encode(f); err != nil {
			return fmt.Errorf("writing the metric %s: %w", f.GetName(), err)
		}
	}
	return nil
}

func families(s Snapshot) []*dto.MetricFamily {
	return slices.Concat(tables(s), []*dto.MetricFamily{drops(s)}, pools(s), handshakes(s), servers(s), proxies(s), exports(s), api(s))
}

func tables(s Snapshot) []*dto.MetricFamily {
	return []*dto.MetricFamily{
		gauge("hostnat_build_info", "Always 1; the label is the daemon's version.", sample(1, "version", s.Version)),
		gauge("hostnat_uptime_seconds", "Since the daemon started; the data path may be older.", sample(s.UptimeSeconds)),
		gauge("hostnat_problems", "Lines under problems in hostnat status.", sample(s.Problems)),
		gauge("hostnat_nats", "NATs there are.", sample(s.NATs)),
		gauge("hostnat_networks", "Networks there are.", sample(s.Networks)),
		gauge("hostnat_endpoints", "Endpoints that are attached.", sample(s.Endpoints)),
		gauge("hostnat_mappings", "Mappings there are.", sample(s.Mappings)),
		gauge("hostnat_bindings", "Bindings in the kernel's table.", sample(s.Bindings)),
		gauge("hostnat_sessions", "Sessions in the kernel's table.", sample(s.Sessions)),
		gauge("hostnat_sessions_max", "Sessions that the kernel's table can hold.", sample(s.MaxSessions)),
	}
}

func drops(s Snapshot) *dto.MetricFamily {
	f := counter("hostnat_dropped_packets_total", "Packets that the data path dropped, by reason.")
	for _, reason := range slices.Sorted(maps.Keys(s.Drops)) {
		f.Metric = append(f.Metric, sample(s.Drops[reason], "reason", reason).as(f))
	}
	return f
}

func pools(s Snapshot) []*dto.MetricFamily {
	all := gauge("hostnat_pool_ports", "Ports that a NAT may use on an external address; of ICMP, identifiers.")
	used := gauge("hostnat_pool_ports_used", "How many of hostnat_pool_ports dynamic bindings have.")
	for _, p := range s.Pools {
		labels := []string{"nat", p.NAT, "address", p.Address.String(), "protocol", p.Protocol}
		all.Metric = append(all.Metric, sample(p.Ports, labels...).as(all))
		used.Metric = append(used.Metric, sample(p.InUse, labels...).as(used))
	}
	return []*dto.MetricFamily{all, used}
}

func handshakes(s Snapshot) []*dto.MetricFamily {
	took := family(dto.MetricType_HISTOGRAM, "hostnat_handshake_seconds", "How long a side of the NAT took to answer in TCP handshakes; counted when their sessions end.", nil)
	unanswered := counter("hostnat_handshakes_unanswered_total", "TCP handshakes in which a side of the NAT never answered.")
	for _, r := range s.RoundTrips {
		took.Metric = append(took.Metric, r.as(took))
		unanswered.Metric = append(unanswered.Metric, sample(r.Unanswered, "network", r.Network, "side", r.Side).as(unanswered))
	}
	repeated := counter("hostnat_repeated_syns_total", "SYNs that the openers of TCP connections sent again; counted when their sessions end.")
	for _, network := range slices.Sorted(maps.Keys(s.RepeatedSYNs)) {
		repeated.Metric = append(repeated.Metric, sample(s.RepeatedSYNs[network], "network", network).as(repeated))
	}
	missed := counter("hostnat_handshakes_missed_total", "Ended sessions whose handshakes could not be counted, since they were too many at once.", sample(s.MissedHandshakes))
	return []*dto.MetricFamily{took, unanswered, repeated, missed}
}

func servers(s Snapshot) []*dto.MetricFamily {
	frames := counter("hostnat_port_refused_frames_total", "Frames refused at ports that other tools plugged into a network's switch.")
	for _, r := range s.Refusals {
		frames.Metric = append(frames.Metric, sample(r.Frames, "interface", r.Interface, "reason", r.Reason).as(frames))
	}
	forged := counter("hostnat_dhcp_forged_messages_total", "DHCP messages ignored, since their sender spoke in the name of others.")
	unserved := counter("hostnat_dhcp_unserved_requests_total", "DHCP requests for which there was no address.")
	for _, d := range s.DHCP {
		forged.Metric = append(forged.Metric, sample(d.Forged, "network", d.Network).as(forged))
		unserved.Metric = append(unserved.Metric, sample(d.Unserved, "network", d.Network).as(unserved))
	}
	refused := counter("hostnat_dns_refused_total", "DNS questions and connections refused, since their client had its share.")
	for _, network := range slices.Sorted(maps.Keys(s.DNS)) {
		refused.Metric = append(refused.Metric, sample(s.DNS[network], "network", network).as(refused))
	}
	return []*dto.MetricFamily{frames, forged, unserved, refused}
}

func proxies(s Snapshot) []*dto.MetricFamily {
	list := []struct {
		family *dto.MetricFamily
		of     func(Proxy) uint64
	}{
		{gauge("hostnat_proxy_connections", "Connections of a port proxy now; UDP: clients heard of in the last minutes."), func(p Proxy) uint64 { return p.Now }},
		{counter("hostnat_proxy_connections_total", "Connections of a port proxy."), func(p Proxy) uint64 { return p.Total }},
		{counter("hostnat_proxy_refused_total", "Connections of a port proxy for which there was no place."), func(p Proxy) uint64 { return p.Refused }},
		{counter("hostnat_proxy_gave_way_total", "Connections of a port proxy that were ended for others."), func(p Proxy) uint64 { return p.GaveWay }},
		{counter("hostnat_proxy_received_bytes_total", "Bytes from a port proxy's clients."), func(p Proxy) uint64 { return p.BytesIn }},
		{counter("hostnat_proxy_sent_bytes_total", "Bytes to a port proxy's clients."), func(p Proxy) uint64 { return p.BytesOut }},
	}
	var families []*dto.MetricFamily
	for _, l := range list {
		for _, p := range s.Proxies {
			l.family.Metric = append(l.family.Metric, sample(l.of(p), "proxy", p.ID).as(l.family))
		}
		families = append(families, l.family)
	}
	return families
}

func exports(s Snapshot) []*dto.MetricFamily {
	sent := counter("hostnat_export_sent_events_total", "Events of sessions and bindings that were sent to a collector.")
	lost := counter("hostnat_export_lost_events_total", "Events that a collector was not sent: it was away, or too slow, or they were too many.")
	for _, e := range s.Exports {
		labels := []string{"kind", e.Kind, "destination", e.Destination}
		sent.Metric = append(sent.Metric, sample(e.Sent, labels...).as(sent))
		lost.Metric = append(lost.Metric, sample(e.Lost, labels...).as(lost))
	}
	return []*dto.MetricFamily{sent, lost}
}

func api(s Snapshot) []*dto.MetricFamily {
	return []*dto.MetricFamily{
		gauge("hostnat_api_connections", "Connections to the API, this one included.", sample(s.API.Connections)),
		gauge("hostnat_api_watchers", "Streams of events to clients of the API.", sample(s.API.Watchers)),
		counter("hostnat_api_refused_connections_total", "Connections to the API that were refused.", sample(s.API.RefusedConnections)),
		counter("hostnat_api_refused_watchers_total", "Streams of events that were refused.", sample(s.API.RefusedWatchers)),
		counter("hostnat_api_closed_idle_total", "Idle connections to the API that were closed for new ones.", sample(s.API.ClosedIdle)),
		counter("hostnat_events_lost_total", "Events not delivered to watchers that were too slow.", sample(s.EventsLost)),
	}
}
