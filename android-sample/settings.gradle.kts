pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositories {
        google()
        mavenCentral()
    }
}

rootProject.name = "sipwake-android-sample"
include(":app")

// With -Psipwake.released=VERSION the SDK comes from Maven Central; otherwise from this repository. Gradle then puts the
// project in the place of dev.sipwake:sipwake, whatever version is asked for.
if (!providers.gradleProperty("sipwake.released").isPresent) {
    includeBuild("../bindings/kotlin")
}
