package test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

// peerVariable makes this test program an ICE agent that asks the STUN server
// at the address in it. It writes a peerOffer to its standard output, reads the
// other peer's from its standard input, connects, and writes a peerResult.
const peerVariable = "HOSTNAT_TEST_PEER"

// peerOffer is what a signalling server would carry between two peers.
type peerOffer struct {
	Fragment, Password string
	Candidates         []string
}

// peerResult is how it went.
type peerResult struct {
	Error                     string
	Heard                     string
	RemoteType, RemoteAddress string
}

func runPeer(server string, controlling bool) int {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	agent, result, err := connectPeer(ctx, server, controlling)
	if err != nil {
		result.Error = err.Error()
	}
	err = json.NewEncoder(os.Stdout).Encode(result)
	_, _ = io.Copy(io.Discard, os.Stdin) // the other one may not have heard yet: stay until both are done
	if agent != nil {
		err = errors.Join(err, agent.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func connectPeer(ctx context.Context, server string, controlling bool) (agent *ice.Agent, result peerResult, err error) {
	uri, err := stun.ParseURI("stun:" + server)
	if err != nil {
		return agent, result, err
	}
	agent, err = ice.NewAgentWithOptions(ice.WithUrls([]*stun.URI{uri}), ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}),
		ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost, ice.CandidateTypeServerReflexive}), // no relay
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled))
	if err != nil {
		return agent, result, err
	}
	if err := offer(ctx, agent); err != nil {
		return agent, result, err
	}
	var other peerOffer
	if err := json.NewDecoder(bufio.NewReader(os.Stdin)).Decode(&other); err != nil {
		return agent, result, err
	}
	for _, text := range other.Candidates {
		candidate, err := ice.UnmarshalCandidate(text)
		if err == nil {
			err = agent.AddRemoteCandidate(candidate)
		}
		if err != nil {
			return agent, result, fmt.Errorf("candidate %q: %w", text, err)
		}
	}
	connect := agent.Accept
	if controlling {
		connect = agent.Dial
	}
	conn, err := connect(ctx, other.Fragment, other.Password)
	if err != nil {
		return agent, result, err
	}
	if result.Heard, err = greet(ctx, conn); err != nil {
		return agent, result, err
	}
	pair, err := agent.GetSelectedCandidatePair()
	if err == nil {
		result.RemoteType, result.RemoteAddress = pair.Remote.Type().String(), pair.Remote.Address()
	}
	return agent, result, err
}

// offer gathers the agent's candidates and writes them out.
func offer(ctx context.Context, agent *ice.Agent) error {
	var own peerOffer
	gathered := make(chan struct{})
	err := agent.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			close(gathered)
			return
		}
		own.Candidates = append(own.Candidates, c.Marshal())
	})
	if err == nil {
		err = agent.GatherCandidates()
	}
	if err != nil {
		return err
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return ctx.Err()
	}
	if own.Fragment, own.Password, err = agent.GetLocalUserCredentials(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(own)
}

// greet says hello, again and again as datagrams get lost, until the connection is
// closed, and returns what the other one says.
func greet(ctx context.Context, conn net.Conn) (string, error) {
	again := time.NewTicker(50 * time.Millisecond)
	go func() {
		defer again.Stop()
		for ctx.Err() == nil {
			if _, err := conn.Write([]byte("hello from the other side")); err != nil {
				return
			}
			select {
			case <-again.C:
			case <-ctx.Done():
			}
		}
	}()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	buf := make([]byte, 100)
	n, err := conn.Read(buf)
	return string(buf[:n]), err
}
