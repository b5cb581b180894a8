plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.compose)
    alias(libs.plugins.google.services)
}

android {
    namespace = "dev.sipwake.sample"
    compileSdk = 36
    defaultConfig {
        // The package that google-services.json is for; -Psample.id=… for your own.
        applicationId = providers.gradleProperty("sample.id").getOrElse("dev.sipwake.sample")
        minSdk = 26
        targetSdk = 36
        versionCode = 1
        versionName = "0.1.0"
    }
    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"))
        }
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }
    buildFeatures.compose = true
    // The tests need the SDK's library for this computer and the mock gateway: they are Maven's (checks/pom.xml).
    sourceSets["test"].kotlin.directories.clear()
}

dependencies {
    val released = providers.gradleProperty("sipwake.released")
    if (released.isPresent) implementation("dev.sipwake:sipwake:${released.get()}") else implementation(libs.sipwake)
    implementation(platform(libs.compose.bom))
    implementation(libs.compose.material3)
    implementation(libs.activity.compose)
    implementation(libs.coroutines.android)
    implementation(libs.firebase.messaging)
}
