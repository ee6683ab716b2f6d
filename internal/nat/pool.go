package nat

import (
	"net/netip"
	"slices"
	"strconv"
)

// Pool is where subnets are taken from for networks that name none. In JSON
// {"prefix": "10.64.0.0/12", "size": 24}.
type Pool struct {
	Prefix netip.Prefix `json:"prefix"`
	Size   int          `json:"size"` // prefix length of the subnets
}

// defaultSize is the prefix length of subnets where none is asked for.
const defaultSize = 24

// DefaultPools are RFC 1918's prefixes, those that others use least first.
func DefaultPools() []Pool {
	return []Pool{
		{netip.MustParsePrefix("172.16.0.0/12"), defaultSize},
		{netip.MustParsePrefix("10.0.0.0/8"), defaultSize},
		{netip.MustParsePrefix("192.168.0.0/16"), defaultSize},
	}
}

// SubnetPools are the pools that are used: those that were added, or DefaultPools.
func (c *Config) SubnetPools() []Pool {
	if len(c.Pools) > 0 {
		return c.Pools
	}
	return DefaultPools()
}

// AddPool adds a pool; the first one takes the place of the default ones. The
// very same one again is no error. Networks that exist stay as they are.
func (c *Config) AddPool(spec PoolSpec) (Pool, error) {
	prefix, err := ParseSubnet(spec.Prefix)
	if err != nil {
		return Pool{}, err
	}
	p := Pool{Prefix: prefix, Size: max(defaultSize, prefix.Bits())}
	if spec.Size != "" {
		if p.Size, err = strconv.Atoi(spec.Size); err != nil || p.Size < prefix.Bits() || p.Size > 30 {
			return Pool{}, Errorf(Invalid, "size %q is no prefix length for subnets of %s", clip(spec.Size), prefix).WithHint("use %d to 30", prefix.Bits())
		}
	}
	for _, has := range c.Pools {
		if has == p {
			return p, nil
		}
		if has.Prefix.Overlaps(prefix) {
			return Pool{}, Errorf(Conflict, "pool %s overlaps pool %s", prefix, has.Prefix).WithHint("delete that first: hostnat pool delete %s", has.Prefix)
		}
	}
	c.Pools = append(c.Pools, p)
	return p, nil
}

// DeletePool deletes a pool; with the last one, the default ones are used again.
func (c *Config) DeletePool(prefix string) error {
	p, err := ParseSubnet(prefix)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(c.Pools, func(has Pool) bool { return has.Prefix == p })
	if i < 0 {
		return Errorf(NotFound, "pool %s does not exist", p).WithHint("'hostnat pool list' shows those that do; the default ones cannot be deleted, only replaced")
	}
	c.Pools = slices.Delete(c.Pools, i, i+1)
	return nil
}
