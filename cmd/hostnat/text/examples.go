package text

import "strings"

// Examples are command lines for the help of commands, by their names.
var Examples = examples(`
address add default 192.0.2.7
address add default 192.0.2.7:2000-2999
address list --sort nat
address remove default 192.0.2.7
binding list --endpoint c1
capture endpoint c1 and port 80
capture -w c1.pcapng endpoint c1
daemon
daemon --read all
demo
diff -f site.yaml
docker disable
docker network delete web
docker status
doctor
doctor --fix
down
endpoint attach web c1 --netns c1
endpoint attach web c2 --docker c2
endpoint attach web vm1 --tap vm1 --create --user alice --mac 52:54:00:12:34:56
endpoint detach c1 c2
endpoint list --network web
endpoint list -o wide --sort address
endpoint set c1 aliases=www,shop
endpoint show c1
event watch
event watch --since 10m --endpoint c1 --not binding
explain c1
explain tcp c1:0 192.0.2.9:443
lease delete web 172.16.1.20
lease list --watch
mapping add --external 8080 --internal c1:80
mapping add --protocol tcp,udp --external 53 --internal dns:53 --from 192.0.2.0/24
mapping delete 1 2
mapping list --sort external
mapping show 1
metrics
nat create office --external-interface eth1
nat delete office
nat list
nat set default udp-timeout=2m max-sessions=1000
nat show default
network create web
network create lab --subnet 10.7.0.0/24 --isolation endpoint
network create inner --nat none
network delete web --force
network list -q
network renumber web --subnet 10.8.0.0/24
network set web isolation=off dns=on
network show web
podman prune
pool add 10.88.0.0/14 --size 22
pool delete 10.88.0.0/14
pool list
port list
port list 8080
proxy add v4tov4 8443 192.0.2.9:443
proxy add v4tov6 8080 [2001:db8::9]:80
proxy add v6tov4 [::]:8080 c1:80
proxy add v6tov6 [::]:8443 [2001:db8::9]:443
proxy delete 1
proxy list --sort -now
proxy show --netsh
record /tmp/bug.hnr
record /tmp/bug.hnr --packets 100 endpoint c1
replay bug.hnr
replay bug.hnr --shrink small.hnr
reservation add web --mac 52:54:00:12:34:56 --address 172.16.1.20
reservation delete web 172.16.1.20
reservation list
restore --copy
session delete --endpoint c1 --protocol udp
session list --endpoint c1 --state established
session list --sort -out --watch
session watch --network web
status
status --rates
top
version -o json
web
`)

func examples(lines string) map[string][]string {
	all := make(map[string][]string)
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		line = strings.TrimSpace(line)
		words := strings.Fields(line)
		for n := 1; n <= min(3, len(words)); n++ { // whichever of these is a command takes it
			name := strings.Join(words[:n], " ")
			all[name] = append(all[name], line)
		}
	}
	return all
}
