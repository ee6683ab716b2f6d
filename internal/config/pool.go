package config

import (
	"slices"
	"strconv"

	"github.com/hostnat/hostnat/internal/model"
)

// SubnetPools are the pools that are used: those that were added, or DefaultPools.
func (c *Config) SubnetPools() []model.Pool {
	if len(c.Pools) > 0 {
		return c.Pools
	}
	return model.DefaultPools()
}

// AddPool adds a pool; the first one takes the place of the default ones. The
// very same one again is no error. Networks that exist stay as they are.
func (c *Config) AddPool(spec PoolSpec) (model.Pool, error) {
	prefix, err := model.ParseSubnet(spec.Prefix)
	if err != nil {
		return model.Pool{}, err
	}
	p := model.Pool{Prefix: prefix, Size: max(model.DefaultPoolSize, prefix.Bits())}
	if spec.Size != "" {
		if p.Size, err = strconv.Atoi(spec.Size); err != nil || p.Size < prefix.Bits() || p.Size > 30 {
			return model.Pool{}, model.Errorf(model.Invalid, "size %q is no prefix length for subnets of %s", model.Clip(spec.Size), prefix).WithHint("use %d to 30", prefix.Bits())
		}
	}
	for _, has := range c.Pools {
		if has == p {
			return p, nil
		}
		if has.Prefix.Overlaps(prefix) {
			return model.Pool{}, model.Errorf(model.Conflict, "pool %s overlaps pool %s", prefix, has.Prefix).WithHint("delete that first: hostnat pool delete %s", has.Prefix)
		}
	}
	c.Pools = append(c.Pools, p)
	return p, nil
}

// DeletePool deletes a pool; with the last one, the default ones are used again.
func (c *Config) DeletePool(prefix string) error {
	p, err := model.ParseSubnet(prefix)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(c.Pools, func(has model.Pool) bool { return has.Prefix == p })
	if i < 0 {
		return model.Errorf(model.NotFound, "pool %s does not exist", p).WithHint("'hostnat pool list' shows those that do; the default ones cannot be deleted, only replaced")
	}
	c.Pools = slices.Delete(c.Pools, i, i+1)
	return nil
}
