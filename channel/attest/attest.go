// Package attest makes and judges attestation evidence: what a device's platform
// says of itself over a challenge that binds the channel.
//
// Here are the challenges, the software kind of evidence, the rules of a server
// (Policy), and its end of re-attestation inside a channel (Gate). The platforms'
// kinds are packages of their own, so that nobody links what it does not use.
package attest
