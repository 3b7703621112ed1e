# The base images are arguments, so that a mirror or a stand-in can take their place. A release pins both by digest:
# --build-arg BUILD_DIGEST=sha256:… --build-arg RUN_DIGEST=sha256:…
ARG BUILD_IMAGE=golang:1.26
ARG BUILD_DIGEST=
ARG RUN_IMAGE=gcr.io/distroless/static-debian12:nonroot
ARG RUN_DIGEST=

# With buildx the toolchain runs on the builder's own platform and compiles for the target's; without it both are the same.
FROM --platform=${BUILDPLATFORM:-linux} ${BUILD_IMAGE}${BUILD_DIGEST:+@${BUILD_DIGEST}} AS build
ARG TARGETOS
ARG TARGETARCH
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
# With .git, out of which the version comes.
COPY . .
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags='-s -w' -o /roamproxy ./cmd/roamproxy && mkdir /state

FROM ${RUN_IMAGE}${RUN_DIGEST:+@${RUN_DIGEST}}
# For registries; roamproxy version says the same out of the program itself.
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="roamproxy" \
      org.opencontainers.image.description="One quota of the Roam HQ API, shared fairly by all your tools." \
      org.opencontainers.image.documentation="/README.md" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION
COPY --from=build /roamproxy /roamproxy
COPY --from=build --chown=65532:65532 /state /var/lib/roamproxy
# Without a volume a container that is created anew starts with a full bucket.
ENV STATE_DIRECTORY=/var/lib/roamproxy PATH=/
VOLUME /var/lib/roamproxy
USER 65532:65532
EXPOSE 8080 9190
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/roamproxy", "health"]
ENTRYPOINT ["/roamproxy"]
CMD ["serve"]
