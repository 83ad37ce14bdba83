// Package cluster gives tests a real cluster, a leader and its followers, and
// Bellwether before it, with faults that can be turned on and off.
//
// One API stands over two providers. "process": servers of internal/sandbox on
// this machine; every link, from the proxy to a node and from a node to a node,
// runs through a TCP Relay. "docker": containers on a private network with
// addresses of their own; links are cut by packet filters in a container's
// network namespace, or by taking the container off the network.
//
//	cluster.Each(t, func(t *testing.T, o cluster.Options) {
//		c := cluster.Start(t, o)
//		p := cluster.StartProxy(t, c)
//		c.Node("db2").Cut(cluster.Nodes, cluster.Both)
//		...
//	})
//
// Each runs a test for the flavours in BELLWETHER_FLAVORS (mariadb-10.11 by
// default; mariadb-11.8, mysql-9.7) and the providers in BELLWETHER_PROVIDERS
// (process by default; docker). TestMain of a package that uses this one is
// cluster.Main.
//
// Servers and the proxy are children that the kernel ends with the test process.
// Containers carry the test process's id in a label; what a dead one left behind
// is removed when the next one starts.
package cluster
