/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate of localhost's and its key, which is a test's, known to everybody. */
#ifndef TESTS_UNIT_TESTCERT_H
#define TESTS_UNIT_TESTCERT_H

static const char cert_pem[] = "-----BEGIN CERTIFICATE-----\n"
			       "MIIBejCCASCgAwIBAgIUcgtccZV25pUPuoQGZVmPW8G/iYIwCgYIKoZIzj0EAwIw\n"
			       "FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTIwMDEwMTAwMDAwMFoYDzIxMTkwMTAx\n"
			       "MDAwMDAwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO\n"
			       "PQMBBwNCAAQmhaNukwlLaGmb25fvotZ0N4f+R5DBPc0QGJRcAOwL+nnQ6Cq4oZI8\n"
			       "WUKdxOo4IR81jQfCadNn0PxHU0yEyRYpo04wTDAaBgNVHREEEzARgglsb2NhbGhv\n"
			       "c3SHBH8AAAEwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUQlpqHhFOGI0wM2Qr\n"
			       "7/mCQKx8rJQwCgYIKoZIzj0EAwIDSAAwRQIgBYPi72FuiV+gUf5Mszpv4Or0NyXd\n"
			       "W+Fe5eGb7LmlzsECIQC86h8xcFfuwEk4aSYM9YD5eCj/JZQTaOd/CDj/iln2kQ==\n"
			       "-----END CERTIFICATE-----\n";

static const char key_pem[] = "-----BEGIN EC PRIVATE KEY-----\n"
			      "MHcCAQEEIL18cN83CIeHZXbCjqMFj3Wv6wizjfveC2lF6LGmhgbdoAoGCCqGSM49\n"
			      "AwEHoUQDQgAEJoWjbpMJS2hpm9uX76LWdDeH/keQwT3NEBiUXADsC/p50OgquKGS\n"
			      "PFlCncTqOCEfNY0HwmnTZ9D8R1NMhMkWKQ==\n"
			      "-----END EC PRIVATE KEY-----\n";

#endif
