//go:build e2e

package e2e

// Why blocks are not run by TestDocuments.
const (
	byPackage   = "TestPackage builds, installs, upgrades and purges the package"
	byCI        = "it is a step of .ci/run, or takes hours"
	byCompose   = "TestCompose runs Debian 12's docker-compose, which is called otherwise"
	noPackage   = "Debian 12 has no package of it"
	byPodman    = "TestPodman and TestPodmanByCNI run these with a real Podman"
	byRecorder  = "what it shows has happened before; the script history has each line"
	bySystem    = "systemd does not run here; TestPackage has it"
	noLibvirtd  = "no libvirtd runs here; TestLibvirtTakesNetwork has its test driver read the file"
	damagedOnly = "it is for a daemon that waits for a decision; the script bad-state runs each"
	machineOnly = "what it prints is about another machine than the test's"
)

// containers are two empty namespaces, and webNetwork the one that many documents begin with.
const (
	containers = "ip netns add c1; ip netns add c2\n"
	webNetwork = containers + "hostnat network create web --subnet 172.16.1.0/24\n"
	attached   = webNetwork + "hostnat endpoint attach web c1 --netns c1; hostnat endpoint attach web c2 --netns c2\n"
	dockerUp   = "e2e-docker\n"
	taps       = "for t in tap0 tap1 tap2; do ip tuntap add $t mode tap; done\n"
)

// documented is what each document needs. Who changes a document sees here whether its
// commands still run.
func documented() map[string]document {
	return map[string]document{
		"README.md": {
			daemonApart: true,
			prepare:     "mkdir -p /www; echo hello from c1 >/www/index.html; busybox httpd -p 9000",
			before: map[string]string{
				"hostnat network create web --subnet 172.16.1.0/24":                   "until hostnat status; do sleep 0.1; done",
				"hostnat mapping add --protocol tcp --external 8080 --internal c1:80": "nsenter --net=/run/netns/c1 busybox httpd -h /www -p 80",
				"hostnat session delete --endpoint c1 --protocol udp":                 "nsenter --net=/run/netns/c1 bash -c 'echo x >/dev/udp/198.51.100.7/7'",
				"hostnat session list --state established": `
					until hostnat status >/dev/null 2>&1; do sleep 0.1; done
					[ -e /tmp/connected ] || { # the second time it is the same connection
						touch /tmp/connected
						hostnat session delete --endpoint c1 >/dev/null 2>&1 || :
						(while sleep 0.2; do echo x; done) | nsenter --net=/run/netns/c1 busybox nc 198.51.100.7 7 >/dev/null 2>&1 &
						until hostnat session list --state established | grep -q 198.51.100.7; do sleep 0.1; done
					}`,
			},
			varies:    []string{`\*:\d+ → c1 172.16.1.2:81`, `203\.0\.113\.1:\d+`, `\* +\d+ +mapping +c1:81`},
			unordered: true, // by port, and one is drawn
			apart: map[string]string{
				"make demo    # shows it all, in network namespaces of its own": byCI,
				"make deb": byPackage,
				firstPort:  "TestFirstPort runs these on a fresh Debian",
				"make install            # PREFIX=/usr/local, DESTDIR for packages": byPackage,
			},
		},
		"docs/capture.md": {apart: map[string]string{"hostnat capture endpoint c1": "it goes on until Ctrl-C; the scripts capture have each part of it"}},
		"docs/cni.md":     {apart: map[string]string{"nerdctl run -d --network web --name c1 -p 8080:80 nginx": byPodman}},
		"docs/configuration-file.md": {
			prepare: containers + `printf 'networks:\n  - name: web\n' >site.yaml; for i in 3 4 5 6 7; do echo "#" >>site.yaml; done; echo '    subnet: x' >>site.yaml`,
		},
		"docs/doctor.md": {prepare: "echo >/etc/resolv.conf"},
		"docs/dns.md":    {prepare: containers},
		"docs/docker.md": {
			prepare: dockerUp,
			before: map[string]string{
				"docker run -d --network none --name c1 nginx\nhostnat endpoint attach web web1 --docker c1\nhostnat mapping add --protocol tcp --external 8080 --internal web1:80": "docker rm -f c1; hostnat network create web",
				"hostnat docker network create shop\ndocker run -d --network shop --name c4 nginx\ndocker rm -f c4\nhostnat docker network delete shop":                             "hostnat docker enable; systemctl restart docker",
			},
		},
		"docs/from-windows.md": {prepare: taps},
		"docs/name-proxy.md":   {prepare: attached + "ip netns add c3; hostnat endpoint attach web c3 --netns c3"},
		"docs/networks.md": {
			prepare: taps + "ip netns add vpn\n",
			before: map[string]string{
				"hostnat endpoint attach web vpn --netns vpn --allow 10.50.0.0/24 --allow 172.16.1.200\nhostnat endpoint set vpn allow=10.50.0.0/24,172.16.1.200      # or allow=none":                                                      "hostnat network delete vms containers; hostnat network create web --subnet 172.16.1.0/24",
				"hostnat network create red --subnet 192.168.1.0/24 --gateway 192.168.1.200 --compartment red":                                                                                                                              "hostnat network delete red",
				"hostnat network renumber web                          # to a free subnet; --subnet CIDR for one of your choice\nhostnat network set laptop overlap=renumber           # it moves by itself when that happens (event 2003)": "hostnat network create laptop",
			},
			apart: map[string]string{"ip rule show": machineOnly},
		},
		"docs/podman.md":     {prepare: "rm /usr/libexec/netavark/hostnat; mkdir /etc/containers/networks", apart: map[string]string{"podman network create --driver hostnat web": byPodman}},
		"docs/port-proxy.md": {prepare: attached + "ip address add 192.168.7.5/24 dev lo"},
		"docs/state.md":      {apart: map[string]string{"hostnat restore --copy         # what can be read of the damaged files, with what is lost": damagedOnly}},
		"docs/systemd.md":    {apart: map[string]string{"systemctl status hostnat": bySystem}},
		"docs/testing.md": {apart: map[string]string{
			"make test            # go vet and every test; about four minutes":                                         byCI,
			"make model PACKETS=10000000 SEED=1      # seed after seed; packets, differences and seconds as they come": byCI,
		}},
		"docs/troubleshooting.md": {
			varies:  []string{`drawn, \d+ as things are`, `203\.0\.113\.1:\d+`},
			prepare: attached + "ip netns add c3; hostnat network create lab --subnet 172.16.2.0/24; hostnat endpoint attach lab c3 --netns c3; hostnat mapping add --external 8080 --internal c1:80; ip route del default",
			apart: map[string]string{
				"hostnat explain c1": byRecorder, "hostnat explain c2": byRecorder, "hostnat event watch --last 1 --not binding --endpoint c1": byRecorder,
				"hostnat event watch --only translated,forwarded --remote 203.0.113.2:53": "it goes on until Ctrl-C; the script events has each of its lines",
				"hostnat explain tcp 203.0.113.9:5555 203.0.113.1:5000":                   "5000 is a port that the NAT has drawn; the script explain has this answer",
				"hostnat explain --pcap some.pcap":                                        "the script explain-pcap makes the file",
				"hostnat explain tcp c1 198.51.100.9:7 --probe":                           "it needs a remote behind a link with a smaller MTU; the script black-hole has one",
			},
		},
		"docs/recipes/compose.md": {prepare: dockerUp + "hostnat docker enable; systemctl restart docker", apart: map[string]string{"docker compose up -d": byCompose}},
		"docs/recipes/docker-and-vms.md": {
			prepare: dockerUp,
			before: map[string]string{
				"hostnat network create vms --subnet 172.20.1.0/24 --isolation off\nhostnat endpoint attach vms vm1 --tap tap0 --create\nhostnat publish 2222:vm1:22": "hostnat network delete vms --force; hostnat docker disable; systemctl restart docker",
			},
		},
		"docs/recipes/lxc.md": {apart: map[string]string{"incus profile create hostnat": noPackage, "incus config device override box eth0 hwaddr=52:54:00:12:34:56": noPackage}},
		"docs/recipes/nspawn.md": {apart: map[string]string{
			"hostnat network create web": bySystem, "ip netns add box": bySystem,
			"systemd-nspawn -D /var/lib/machines/box --network-namespace-path=/run/netns/box": bySystem,
		}},
		"docs/recipes/qemu.md":    {prepare: "truncate -s 1M disk.img"},
		"docs/warnings.md":        {prepare: "echo nameserver 172.16.9.53 >/etc/resolv.conf; until grep -q 172.16.9.53 /tmp/hostnat.log; do sleep 0.1; done"},
		"docs/recipes/libvirt.md": {apart: map[string]string{"virt-install --network network=web ...": noLibvirtd, "virsh net-define web.xml": noLibvirtd}},
	}
}
