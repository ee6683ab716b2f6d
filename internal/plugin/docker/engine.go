package docker

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// DefaultHost is where Docker answers unless it is told otherwise.
const DefaultHost = "unix:///var/run/docker.sock"

// bridgeOption is Docker's name for a network's bridge.
const bridgeOption = "com.docker.network.bridge.name"

// Engine is a Docker daemon.
type Engine struct {
	host string
	c    *client.Client
}

// Dial returns the Docker daemon at a host, such as DefaultHost. Nothing is sent
// to it yet.
func Dial(host string) (*Engine, error) {
	c, err := client.New(client.WithHost(host))
	if err != nil {
		return nil, fmt.Errorf("the address %q of Docker: %w", host, err)
	}
	return &Engine{host, c}, nil
}

// Close lets go of it.
func (e *Engine) Close() error { return e.c.Close() }

// Version returns Docker's.
func (e *Engine) Version(ctx context.Context) (string, error) {
	v, err := e.c.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return "", fmt.Errorf("ask Docker at %s: %w", e.host, err)
	}
	return v.Version, nil
}

// Names returns the names of the containers that run.
func (e *Engine) Names(ctx context.Context) (list []string, err error) {
	running, err := e.c.ContainerList(ctx, client.ContainerListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list Docker's containers: %w", err)
	}
	for _, s := range running.Items {
		list = append(list, containerFrom(s, nil).Name)
	}
	return list, nil
}

// containers returns those that run. linkOf finds the host's end of an attachment
// on one of the networks.
func (e *Engine) containers(ctx context.Context, networks []Network, linkOf func(id string, a *Attachment) error) ([]Container, []error) {
	bridges := make(map[string]string)
	for _, n := range networks {
		bridges[n.ID] = n.Bridge
	}
	running, err := e.c.ContainerList(ctx, client.ContainerListOptions{})
	if err != nil {
		return nil, []error{fmt.Errorf("list Docker's containers: %w", err)}
	}
	list := []Container{}
	var errs []error
	for _, s := range running.Items {
		c := containerFrom(s, bridges)
		for i := range c.Links {
			if err := linkOf(c.ID, &c.Links[i]); err != nil && ctx.Err() == nil {
				errs = append(errs, fmt.Errorf("container %s: %w", c.Name, err))
			}
		}
		list = append(list, c)
	}
	return list, errs
}

// networks returns those that are bridges.
func (e *Engine) networks(ctx context.Context) ([]Network, error) {
	found, err := e.c.NetworkList(ctx, client.NetworkListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list Docker's networks: %w", err)
	}
	var list []Network
	for _, n := range found.Items {
		if n.Driver != "bridge" {
			continue
		}
		is := Network{ID: n.ID, Name: n.Name, Internal: n.Internal, Bridge: bridgeOf(n.Network)}
		for _, c := range n.IPAM.Config {
			if c.Subnet.Addr().Is4() && !is.Subnet.IsValid() {
				is.Subnet, is.Gateway = c.Subnet, c.Gateway
			}
		}
		list = append(list, is)
	}
	return list, nil
}

func bridgeOf(n network.Network) string {
	return cmp.Or(n.Options[bridgeOption], "br-"+shortID(n.ID))
}

// attachment is what connects a container to one network, whether it runs or not.
func (e *Engine) attachment(ctx context.Context, id, container string) (Attachment, error) {
	found, err := e.c.NetworkInspect(ctx, id, client.NetworkInspectOptions{})
	if err != nil {
		return Attachment{}, fmt.Errorf("look at Docker's network %s: %w", id, err)
	}
	n := found.Network
	at, is := n.Containers[container]
	if !is {
		return Attachment{}, fmt.Errorf("container %s is not on network %s", container, n.Name)
	}
	return Attachment{
		ID: at.EndpointID, Network: n.Name, Bridge: bridgeOf(n.Network), Address: at.IPv4Address.Addr(), MAC: at.MacAddress.String(),
		Gateway: !n.Internal,
	}, nil
}

func containerFrom(s container.Summary, bridges map[string]string) Container {
	c := Container{ID: s.ID, Name: shortID(s.ID)}
	for _, name := range s.Names { // "/a/b" is the name that a has for it
		if name = strings.TrimPrefix(name, "/"); !strings.Contains(name, "/") {
			c.Name = name
		}
	}
	for _, p := range s.Ports {
		c.Ports = append(c.Ports, Port{Protocol: p.Type, Host: p.IP, Public: p.PublicPort, Private: p.PrivatePort})
	}
	if s.NetworkSettings == nil {
		return c
	}
	for name, at := range s.NetworkSettings.Networks {
		if at == nil || bridges[at.NetworkID] == "" || at.EndpointID == "" {
			continue
		}
		c.Links = append(c.Links, Attachment{
			ID: at.EndpointID, Network: name, Bridge: bridges[at.NetworkID], Address: at.IPAddress, MAC: at.MacAddress.String(),
			Gateway: at.Gateway.IsValid(), Priority: at.GwPriority,
		})
	}
	return c
}

// Process is a container's first process, and what else only it shows.
type Process struct {
	ID         string // the container's
	Name       string
	PID        int
	ResolvConf string              // the file of the host that is its /etc/resolv.conf
	OwnDNS     bool                // whether somebody has chosen name servers for it
	Aliases    map[string][]string // by Docker's networks
	Fixed      []Port              // published ports, without those that Docker draws
}

// Process looks at a container by its name or id.
func (e *Engine) Process(ctx context.Context, name string) (Process, error) {
	found, err := e.c.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
	if err != nil {
		return Process{}, fmt.Errorf("look at container %s: %w", name, err)
	}
	c := found.Container
	p := Process{ID: c.ID, Name: strings.TrimPrefix(c.Name, "/"), ResolvConf: c.ResolvConfPath, Aliases: make(map[string][]string)}
	if c.State != nil && c.State.Running {
		p.PID = c.State.Pid
	}
	p.OwnDNS = c.HostConfig != nil && len(c.HostConfig.DNS)+len(c.HostConfig.DNSSearch) > 0
	if c.HostConfig != nil {
		p.Fixed = fixedPorts(c.HostConfig.PortBindings)
	}
	if c.NetworkSettings != nil {
		for network, at := range c.NetworkSettings.Networks {
			if at != nil {
				p.Aliases[network] = at.Aliases
			}
		}
	}
	return p, nil
}

// fixedPorts are those for which a person has chosen the host's port.
func fixedPorts(bindings network.PortMap) (list []Port) {
	for inside, all := range bindings {
		for _, b := range all {
			if public, err := strconv.ParseUint(b.HostPort, 10, 16); err == nil && public > 0 {
				list = append(list, Port{Protocol: string(inside.Proto()), Host: b.HostIP, Public: uint16(public), Private: inside.Num()})
			}
		}
	}
	return list
}

// Subnet is what Docker gets of a network of hostnat's.
type Subnet struct {
	Prefix  netip.Prefix
	Gateway netip.Addr
	Part    netip.Prefix // from which Docker gives addresses to containers
}

// CreateNetwork has Docker make a network of its bridge driver on a bridge that is
// there.
func (e *Engine) CreateNetwork(ctx context.Context, name, bridge string, s Subnet) error {
	_, err := e.c.NetworkCreate(ctx, name, client.NetworkCreateOptions{
		Driver:  "bridge",
		IPAM:    &network.IPAM{Driver: "default", Config: []network.IPAMConfig{{Subnet: s.Prefix, Gateway: s.Gateway, IPRange: s.Part}}},
		Options: map[string]string{bridgeOption: bridge},
		Labels:  map[string]string{"hostnat": bridge},
	})
	if err != nil {
		return fmt.Errorf("create Docker's network %s: %w", name, err)
	}
	return nil
}

// DeleteNetwork deletes one of Docker's networks. One that is not there is fine.
func (e *Engine) DeleteNetwork(ctx context.Context, name string) error {
	_, err := e.c.NetworkRemove(ctx, name, client.NetworkRemoveOptions{})
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("delete Docker's network %s: %w", name, err)
	}
	return nil
}
